"""Whether a base has a chat template that takes the system message and the tools of a dataset, from its text alone."""

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
    """A sentence when the template of the model's base is not there, refuses or drops the system message of its data
    set, or writes no tools and the rows have some; none while the base is not there (train asks again).
    """
    head = objectives.of(params.models[name].train.objective).head
    base, dataset = lineage(params, name)[-1], params.main_dataset(name)
    if head == "seq2seq":
        yield from _problems_of_one_text(params, base, dataset)
    if head != "lm":
        return  # it reads a text as it is
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
    """A sentence for what an encoder, which reads one text, is not told: a system message, tools, a named template."""
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
    """The text of the template that a base will have, as far as it can be known without its weights."""
    if base.chat_template != "own":
        return templates.template(base.chat_template, begins_with_bos=False)
    return _template(folder) if folder else None


def _is_without_template(folder: Path) -> bool:
    """Whether the tokenizer in `folder` has no chat template in any of the places where one may stand."""
    config = folder / "tokenizer_config.json"
    named = read_json(config).get("chat_template") if config.is_file() else None
    return (folder / "tokenizer.json").is_file() and not (named or any(folder.glob("*chat_template*")))


def _has_tools(dataset: str) -> bool:
    """Whether the rows had tools when they were last prepared."""
    file = paths.prepared(dataset) / "format.json"
    return file.is_file() and bool(read_json(file).get("tools"))


def _template(folder: Path) -> str | None:
    file, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    value = json.loads(config.read_text(encoding="utf-8")).get("chat_template") if config.is_file() else None
    return value if isinstance(value, str) else None


def _takes_system(template: str) -> bool:
    """False only where a question alone is rendered and the system message before it is refused or not there; the
    tokenizer is not loaded.
    """
    from jinja2 import TemplateError

    try:
        _render(template, [QUESTION])
    except (TemplateError, TypeError, ValueError):
        return True  # it uses what only transformers has: no verdict here
    try:
        return SYSTEM["content"] in _render(template, [SYSTEM, QUESTION])
    except TemplateError:
        return False


def _takes_tools(template: str) -> bool:
    """False only where a question is rendered alike with tools and without them."""
    from jinja2 import TemplateError

    from tasks.dialogues.chat_template import TOOL

    try:
        return _render(template, [QUESTION]) != _render(template, [QUESTION], tools=[TOOL])
    except (TemplateError, TypeError, ValueError):
        return True  # no verdict here


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
