"""Compares a tuned model with its parent and the champion on the same rows, for the gate."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from tasks import paths
from tasks.comparison import contestants
from tasks.comparison.contestants import PARENT, TUNED, check_pairs
from tasks.comparison.opponents import opponent
from tasks.dataset import answered
from tasks.dataset.rows import Answered, Message
from tasks.dialogues.chat import REST
from tasks.errors import AnnealError, ParamsError
from tasks.files import read_json, whole_directory, write_jsonl
from tasks.formats import contract
from tasks.formats.answer import example_in, format_in
from tasks.models import labeller
from tasks.params import Model
from tasks.section import suggestion
from tasks.serve import state
from tasks.stages.evaluate import measures
from tasks.stages.evaluate.measures.measure import Measure
from tasks.stages.evaluate.predictions import Prediction, read
from tasks.stages.predict.params import Predict
from tasks.steps.gate import GateCheck, GateVerdict, Rivals, gate
from tasks.versions import registry


def gate_verdict(
    task: str, model: Model, weights: Path, reports: Path, adapter: Path, older: Sequence[Path] = ()
) -> GateVerdict:
    """The gate's verdict on the model whose evaluation is in its `reports`, against parent and champion of the `task`.

    It was trained on `weights`, and these on the `older` ones, down to a base.
    """
    tuned, parent = (answered.read(contestants.folders(reports)[who]) for who in (TUNED, PARENT))
    check_pairs(tuned, parent)
    table, measure, readable = _measures(model, read_json(adapter / "format.json"), reports)
    champion = registry.read(task).at("champion")
    artifact = read_json(adapter / "artifact.json")["artifact_sha256"]
    rival: Sequence[Prediction] | None = None
    if champion is not None and champion.artifact != artifact:
        try:
            rival = readable(
                _champions_answers(champion, tuned, model.predict, [weights, *older], adapter, reports / "champion")
            )
            if not measure.is_measurable(rival):
                raise Incomparable(f"its answers lack what {measure.name} is computed from")
        except Incomparable as reason:
            words = (
                f"cannot be compared with the champion (version {champion.version}): {reason}; `make promote` "
                "promotes it manually"
            )
            return GateVerdict(False, (GateCheck(False, words),), champion.version)
    rivals = Rivals(
        measure,
        measure.rows(readable(tuned)),
        measure.rows(readable(parent)),
        None if rival is None else measure.rows(rival),
        tuple(opponent(who, tuned, reports, model.evaluate.labels, measure, readable) for who in model.gate.must_beat),
    )
    verdict = gate(model.gate, table, read_json(paths.evaluation(reports) / "metrics.json"), rivals)
    return replace(verdict, champion=None if champion is None else champion.version)


def _measures(
    model: Model, spec: Mapping[str, Any], reports: Path
) -> tuple[dict[str, Measure], Measure, Callable[[list[Answered]], Sequence[Prediction]]]:
    """The measures of a model of the format `spec`, the one that the gate compares on, and a reader of answers."""
    form, example = format_in(spec), example_in(spec)
    table = measures.of(model.evaluate, form, example)
    compare_on = model.gate.compare_on or measures.compared_on(model.evaluate, example)
    if compare_on not in table:
        raise ParamsError(
            f"params.yaml: gate.compare_on is '{compare_on}', which is not a measure of this "
            f"model{suggestion(compare_on, table)}"
        )
    measured = read_json(paths.evaluation(reports) / "measures.json")
    classes = {label: frozenset(known) for label, known in measured["classes"].items()}
    return table, table[compare_on], lambda answers: read(answers, form, classes)


class Incomparable(Exception):
    """Why the champion cannot answer the tuned model's rows, in one clause: a gate that cannot compare refuses."""


def _champions_answers(
    champion: registry.Version,
    tuned: list[Answered],
    params: Predict,
    ancestors: Sequence[Path],
    adapter: Path,
    cache: Path,
) -> list[Answered]:
    """The champion's answers to the rows of `tuned`: from its own evaluation, an earlier gate, or newly generated.

    Its prompts are those that it was trained on, as when it serves. Raises Incomparable.
    """
    its_adapter = registry.folder(champion, "adapter")
    own = its_adapter / labeller.FOLDER
    rows = _in_champions_words(tuned, its_adapter, adapter)
    rows = labeller.with_rests(own, rows) if own.exists() else rows
    known = _by_question(answered.read(registry.folder(champion, "evaluate")))
    if (cache / champion.artifact).exists():
        known |= _by_question(answered.read(cache))
    if missing := [row for question, row in _by_question(rows).items() if question not in known]:
        weights = _weights_of(its_adapter, ancestors)
        from tasks.inference.engine.trained import of_trained
        from tasks.weights.tuned import answer

        asked = [answered.row_of(row) for row in missing]
        asked = labeller.with_beginnings(own, asked) if own.exists() else asked
        what = f"champion (version {champion.version})"
        size, most = params.per_device_eval_batch_size, params.max_new_tokens
        engine = of_trained(params.engine, weights, its_adapter)
        answers = answer(weights, its_adapter, asked, size, most, what, takes_given=own.exists(), writer=engine)
        known |= _by_question(answers.predictions)
    in_order = [known[question] for question in _by_question(rows)]
    if missing:
        with whole_directory(cache) as folder:
            write_jsonl(folder / answered.FILE, in_order)
            (folder / champion.artifact).touch()
    return in_order


def _weights_of(its_adapter: Path, ancestors: Sequence[Path]) -> Path:
    """The weights that the champion was trained on: an ancestor of this model, or the copy that is served."""
    base = read_json(its_adapter / "artifact.json")["base_sha256"]
    for folder in (*ancestors, state.base_folder(base)):
        if (folder / "source.json").exists() and read_json(folder / "source.json").get("weights_sha256") == base:
            return folder
    raise Incomparable(f"it was trained on other weights than those in {ancestors[0]}")


def _in_champions_words(tuned: list[Answered], its_adapter: Path, adapter: Path) -> list[Answered]:
    """The rows of `tuned` with the champion's own templates; Incomparable if its answers have another format."""
    its, ours = read_json(its_adapter / "format.json"), read_json(adapter / "format.json")
    if its["answer"] != ours["answer"]:
        raise Incomparable(f"its answers are {its['answer']!r}, and those of this model {ours['answer']!r}")
    if its == ours:
        return tuned
    words, own = contract.load(its_adapter), contract.load(adapter)
    try:
        return [{**row, "messages": _in_words(row, own, words)} for row in tuned]
    except AnnealError as error:
        raise Incomparable(f"its template does not fit these rows ({error})") from None


def _in_words(row: Answered, own: contract.Contract, words: contract.Contract) -> list[Message]:
    """The messages of a `row` of the template `own`, rendered by `words`; a dialogue only gets its system message."""
    messages = row["messages"]
    if messages == own.messages(row["row"]):
        return cast("list[Message]", words.messages(row["row"]))
    has_system = bool(messages) and messages[0]["role"] == "system"
    if not messages or (has_system and messages[0]["content"] != own.system):
        return messages  # a text, or a dialogue that brings a system message of its own
    system: list[Message] = [{"role": "system", "content": words.system}] if words.system else []
    return [*system, *messages[1 if has_system else 0 :]]


def _by_question(predictions: list[Answered]) -> dict[str, Answered]:
    """Predictions in their order, by question, right answer, and the part of it that was scored."""
    key = ("id", "messages", "answer", REST)
    return {json.dumps([row.get(name) for name in key], sort_keys=True): row for row in predictions}
