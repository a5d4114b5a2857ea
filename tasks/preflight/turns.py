"""Whether the base's chat template takes the system message of a data set, from its text alone."""

import json
from collections.abc import Iterator
from pathlib import Path

from tasks.params import Params, lineage
from tasks.preflight.serving import config_folder

SYSTEM = {"role": "system", "content": "Answer in rhymes"}
QUESTION = {"role": "user", "content": "a"}


def problems(params: Params, name: str) -> Iterator[str]:
    """A sentence when the model's data set has a system message that its base refuses or drops; none while the base
    is not there (train asks again).
    """
    base, dataset = lineage(params, name)[-1], params.models[name].dataset
    folder = config_folder(base, params.bases[base])
    if (
        params.datasets[dataset].templates["system"]
        and folder
        and (template := _template(folder))
        and not _takes_system(template)
    ):
        from tasks.chat_template import NO_SYSTEM

        yield f"datasets.{dataset}.prepare.system is given, and {base}'s {NO_SYSTEM}."


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


def _render(template: str, messages: list[dict[str, str]]) -> str:
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
    return environment.from_string(template).render(messages=messages, **words)
