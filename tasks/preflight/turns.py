"""Checks that the base's chat template renders the system message and the tools of a dataset, by its text alone."""

import json
from collections.abc import Iterator
from pathlib import Path

from tasks import objectives, paths
from tasks.dialogues import templates
from tasks.files import read_json
from tasks.params import Params, lineage
from tasks.preflight.serving import config_folder
from tasks.stages.base import Base

SYSTEM = {"role": "system", "content": "Answer in rhymes"}
QUESTION = {"role": "user", "content": "a"}


def problems(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence if the base's chat template is missing, refuses or drops the dataset's system message, or
    does not render the rows' tools; none while the base is missing (train checks again).
    """
    head = objectives.of(params.models[name].train.objective).head
    base, dataset = lineage(params, name)[-1], params.main_dataset(name)
    if head == "seq2seq":
        yield from _problems_of_one_text(params, base, dataset)
    if head != "lm":
        return  # it reads plain text
    folder = config_folder(base, params.bases[base])
    template = _template_of(params.bases[base], folder)
    if template is None:
        if folder and _is_without_template(folder):
            yield (
                f"bases.{base} has no chat template; set bases.{base}.chat_template to chatml or alpaca, or add "
                "chat_template.jinja to its folder."
            )
        return
    if params.datasets[dataset].templates["system"] and not _takes_system(template):
        from tasks.dialogues.chat_template import NO_SYSTEM

        yield f"datasets.{dataset}.prepare.system is given, and {base}'s {NO_SYSTEM}."
    if _has_tools(dataset) and not _takes_tools(template):
        yield (
            f"the rows of {dataset} have tools, and {base}'s chat template renders the same with them as without; set "
            f"bases.{base}.chat_template to chatml."
        )


def _problems_of_one_text(params: Params, base: str, dataset: str) -> Iterator[str]:
    """Yield a sentence for each thing that an encoder, which reads one text, ignores: system message, tools,
    template.
    """
    if params.datasets[dataset].templates["system"]:
        yield (
            f"datasets.{dataset}.prepare.system is given, and {base} has an encoder, which reads one text: put the "
            "instruction into prepare.user."
        )
    if _has_tools(dataset):
        yield f"the rows of {dataset} have tools, and {base} has an encoder, which reads one text; use a causal base."
    if params.bases[base].chat_template != "own":
        yield (
            f"bases.{base}.chat_template is {params.bases[base].chat_template}, and {base} has an encoder, which reads "
            "a text as it is; leave it out."
        )


def _template_of(base: Base, folder: Path | None) -> str | None:
    """Return the text of the template that a base will have, if it is known without its weights."""
    if base.chat_template != "own":
        return templates.template(base.chat_template, begins_with_bos=False)
    return _template(folder) if folder else None


def _is_without_template(folder: Path) -> bool:
    """True if the tokenizer in `folder` has no chat template in any of the possible places."""
    config = folder / "tokenizer_config.json"
    named = read_json(config).get("chat_template") if config.is_file() else None
    return (folder / "tokenizer.json").is_file() and not (named or any(folder.glob("*chat_template*")))


def _has_tools(dataset: str) -> bool:
    """True if the rows had tools when they were last prepared."""
    file = paths.prepared(dataset) / "format.json"
    return file.is_file() and bool(read_json(file).get("tools"))


def _template(folder: Path) -> str | None:
    file, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    value = json.loads(config.read_text(encoding="utf-8")).get("chat_template") if config.is_file() else None
    return value if isinstance(value, str) else None


def _takes_system(template: str) -> bool:
    """False only if a question alone is rendered and a system message before it is refused or dropped."""
    from jinja2 import TemplateError

    try:
        _render(template, [QUESTION])
    except (TemplateError, TypeError, ValueError):
        return True  # it needs transformers' own functions: undecided
    try:
        return SYSTEM["content"] in _render(template, [SYSTEM, QUESTION])
    except TemplateError:
        return False


def _takes_tools(template: str) -> bool:
    """False only if a question is rendered the same with tools as without."""
    from jinja2 import TemplateError

    from tasks.dialogues.chat_template import TOOL

    try:
        return _render(template, [QUESTION]) != _render(template, [QUESTION], tools=[TOOL])
    except (TemplateError, TypeError, ValueError):
        return True  # undecided


def _render(template: str, messages: list[dict[str, str]], **more: object) -> str:
    from jinja2 import TemplateError
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    words = {
        "bos_token": "",
        "eos_token": "",
        "add_generation_prompt": True,
        "raise_exception": refuse,
        "strftime_now": lambda _: "",
    }
    return environment.from_string(template).render(messages=messages, **words, **more)
