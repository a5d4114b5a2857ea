"""Checks that the base's tokenizer allows a model's new tokens."""

from collections.abc import Iterator

from tasks.models import vocabulary
from tasks.params import Params, lineage
from tasks.preflight.serving import config_folder


def problems(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence for the first new token that the base, or a model between, already has, or that the tokenizer
    cannot add; while the base is missing, only models are checked (train checks again).
    """
    new = vocabulary.of(params.models[name].train.objective)
    if not new:
        return
    _, *between, base = lineage(params, name)
    earlier = {text: model for model in between for text in vocabulary.of(params.models[model].train.objective)}
    if known := next((text for text in new if text in earlier), None):
        yield (
            f"models.{name}.train.objective.new_tokens names {known!r}, which {earlier[known]} has made a token "
            "already; remove it."
        )
        return
    folder = config_folder(base, params.bases[base])
    if folder is None or not (folder / "tokenizer.json").is_file():
        return
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if words := vocabulary.problem(tokenizer, new):
        yield f"models.{name}.train.objective.{words}"
