"""Checks that the base's tokenizer allows a model's new tokens, and has those that its rows need."""

from collections.abc import Iterator

from tasks.dialogues import infill, special
from tasks.models import vocabulary
from tasks.params import Params, lineage
from tasks.preflight.serving import config_folder
from tasks.stages.prepare import shapes


def problems(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence for the first new token that the base, or a model between, already has, or that the tokenizer
    cannot add; while the base is missing, only models are checked (train checks again).
    """
    yield from _without_marks(params, name)
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


def _without_marks(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence if the rows of `name` have holes, and neither its base nor a model of its line has their
    marks.
    """
    learnt = params.learnt(params.models[name].dataset)
    if not any(shapes.of(params.datasets[data].prepare).makes == infill.EXAMPLE for data in learnt):
        return
    *models, base = lineage(params, name)
    folder = config_folder(base, params.bases[base])
    if folder is None or not (folder / "tokenizer.json").is_file():
        return  # train checks again
    new = [text for model in models for text in vocabulary.of(params.models[model].train.objective)]
    if special.marks_among([*special.of_folder(folder).texts, *new]) is None:
        yield f"models.{name}.parent: the tokenizer of {base} {infill.NO_MARKS}."
