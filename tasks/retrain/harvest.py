"""Harvests corrected answers into a new file in the dataset's folder, with its lineage and a quarantine beside the
records.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import cast

from sqlalchemy import Engine

from tasks.errors import AnnealError
from tasks.files import sha256, write_json, write_jsonl
from tasks.formats.answer import TEXT, AnswerFormat, format_of
from tasks.formats.span_answer import SpanAnswer
from tasks.params import Dataset, Params
from tasks.retrain import contexts, lineage, preferences, store
from tasks.retrain.asked import TemplatesOf
from tasks.retrain.invert import columns_of_input, no_rows_of, why_no_columns
from tasks.retrain.preferences import Pairs
from tasks.retrain.sift import Candidate, Rules, Sifted, sift
from tasks.retrain.source_rows import stored_row, write_rows
from tasks.stages.ingest import format_for_new_rows, read, with_columns
from tasks.stages.prepare import shapes
from tasks.stages.prepare.labels import asked_columns
from tasks.stages.prepare.params import Prepare
from tasks.stages.prepare.rows import SetAside, Templates
from tasks.texts.clean import clean
from tasks.texts.template import columns as columns_of


@dataclass(frozen=True)
class Harvest:
    """The result of a harvest, in rows, over the corrected answers that no earlier one had seen."""

    file: str | None
    taken: int = 0
    quarantined: int = 0
    waiting: int = 0
    skipped: int = 0
    why: str = ""  # the most common reason to skip a row
    pairs: Pairs = field(default_factory=Pairs, compare=False)  # that the rows taken make

    def words(self) -> str:
        """Return the result as one clause."""
        numbers = (self.taken, self.quarantined, self.waiting, self.skipped)
        parts = dict(zip(("harvested", *lineage.GROUPS[1:]), numbers, strict=True))
        counts = ", ".join(f"{count} {name}" for name, count in parts.items() if count or name == "harvested")
        return f"{counts} (most often: {self.why})" if self.why else counts


Rows = list[dict[str, str]]


def harvest(engine: Engine, params: Params, task: str, now: float, templates_of: TemplatesOf | None = None) -> Harvest:
    """Write the corrections of `task` since the last harvest as a new file of its dataset, and the pairs that they make
    as one of its folder of pairs.

    The pairs come first, then the data file, whose ids name the requests, and the lineage last, so that a harvest
    interrupted in between takes no correction twice and loses no pair. `templates_of` a version: by default the
    dataset's.
    """
    name = params.main_dataset(task)
    dataset = params.datasets[name]
    source = Path(dataset.ingest.source)
    done = lineage.harvested_requests(name)
    new = [correction for correction in store.corrections(engine, task) if correction.request_id not in done]
    if not new:
        return Harvest(None)
    if why := no_rows_of(dataset.prepare):  # not recorded as done: the shape may change
        return Harvest(None, skipped=len(store.newest_by_request(new)), why=why)
    if not source.is_dir():
        raise AnnealError(
            f"params.yaml: datasets.{name}.ingest.source is {source}, a file: name a folder that holds it, so that "
            "harvested rows can be added beside it."
        )
    dataset = dataset.model_copy(update={"ingest": with_columns(dataset.ingest, source)})
    rows, _ = read(dataset.ingest, source)
    rows = _as_corrected(rows, dataset)
    rules = _rules(dataset, params.models[task].evaluate.labels, rows, params.retrain.max_share_of_key)
    candidates, skipped = _candidates(new, dataset, rules, rows)
    known = [Candidate(row["id"], None, 0.0, row, "") for row in rows]
    sifted = sift(*_with_questions(candidates, known, dataset.templates), rules)
    sifted.skipped += skipped
    pairs = _pairs(sifted, new, dataset, params, task, templates_of)
    return _write(sifted, pairs, dataset, name, task, source, now)


def _pairs(
    sifted: Sifted,
    new: list[store.Correction],
    dataset: Dataset,
    params: Params,
    task: str,
    templates_of: TemplatesOf | None,
) -> Pairs:
    """Return the pairs that the rows taken make; none if the task's answers are not written by a model."""
    if shapes.of(dataset.prepare).makes != "chat":
        return Pairs()
    rows = {candidate.request: candidate.row for candidate in sifted.taken}
    corrections = [each for each in store.newest_by_request(new).values() if each.request_id in rows]
    return preferences.pairs_of(
        sorted(corrections, key=lambda each: (each.requested_at, each.request_id)),
        rows,
        format_of(dataset.templates["answer"]),
        params.predicted_columns(task),
        templates_of or (lambda version: dataset.templates),
        [pair for pair in _known_pairs(task) if pair.request not in rows],  # of an interrupted harvest: made again
    )


def _known_pairs(task: str) -> list[preferences.Pair]:
    return [preferences.of_stored(row) for row in lineage.stored_rows(lineage.pairs_folder(task))]


def _as_corrected(rows: Rows, dataset: Dataset) -> Rows:
    """Return the source's rows in the columns that the templates name: as they are, or as their shape reads them."""
    form = dataset.templates
    named = {*columns_of(form["user"]), *format_of(form["answer"]).columns}
    if all(named <= row.keys() for row in rows) and not getattr(dataset.prepare, "names_of", {}):
        return [{column: clean(text) for column, text in row.items()} for row in rows]
    shape, read_rows = shapes.of(dataset.prepare), []
    for row in rows:
        with suppress(SetAside, KeyError):  # prepare says which, and why
            read_rows.append(shape.example(row, dataset.prepare)["row"])
    return read_rows


def _rules(dataset: Dataset, labels: list[str], rows: Rows, max_share: float) -> Rules:
    """Return the dataset's requirements of a row; `rows` are its own, cleaned."""
    columns = tuple(column for column in (rows[0] if rows else ()) if column != "id")
    inputs, form = columns_of(dataset.templates["user"]), format_of(dataset.templates["answer"])
    answer = tuple(column for column in columns if column in form.columns and column not in inputs)
    kinds = tuple(label for label in labels if label in answer)
    classes = {label: frozenset(row[label] for row in rows) for label in kinds}
    similarity = cast(Prepare, dataset.prepare).near_duplicate_similarity
    may_lack = set(columns) - (set() if isinstance(form, SpanAnswer) else set(answer))  # a text may have no answer
    empty = frozenset(column for column in may_lack if column in answer or not all(row[column] for row in rows))
    return Rules(columns, kinds, answer, classes, similarity, max_share, empty)


def _candidates(
    new: list[store.Correction], dataset: Dataset, rules: Rules, rows: Rows
) -> tuple[list[Candidate], list[Candidate]]:
    """Return (candidates, skipped ones that make no row), one for each request, by its newest correction."""
    by_request = defaultdict[str, list[store.Correction]](list)
    candidates, skipped, newest = list[Candidate](), list[Candidate](), store.newest_by_request(new)
    for correction in new:
        by_request[correction.request_id].append(correction)
    inputs = columns_of(dataset.templates["user"])
    one_line = [column for column in inputs if column in rules.columns and not any("\n" in row[column] for row in rows)]
    ids = {row["id"] for row in rows}
    for request, corrections in by_request.items():
        last = newest[request]
        is_known = f"feedback-{request}" in ids
        row = "the dataset has it already" if is_known else _row(last, dataset, rules, inputs, one_line)
        if isinstance(row, str):
            skipped.append(_candidate(last, {}, row))
            continue
        # One person may change their mind; of two who differ, neither is believed.
        answers = {
            correction.key_id: tuple(clean(str(correction.correction.get(label))) for label in rules.labels)
            for correction in corrections
        }
        why = ("corrections of this request contradict each other",) if len(set(answers.values())) > 1 else ()
        candidates.append(_candidate(last, row, *why))
    return candidates, skipped


def _candidate(correction: store.Correction, row: dict[str, str], *reasons: str) -> Candidate:
    """Return a candidate from a correction and its `row`; its text is added later."""
    about = (correction.version, correction.template_sha256, correction.requested_at)
    return Candidate(correction.request_id, correction.key_id, correction.at, row, "", *about, reasons)


def _row(
    correction: store.Correction, dataset: Dataset, rules: Rules, inputs: Sequence[str], one_line: list[str]
) -> dict[str, str] | str:
    """Return the row that a correction makes, or why it makes none, in one clause."""
    prepare, form = dataset.templates, format_of(dataset.templates["answer"])
    if not form.is_invertible:
        return "prepare.answer computes something, so an answer cannot be read back into the columns of a row"
    logged = (correction.input, prepare, correction.path, correction.finish_reason)
    cells = columns_of_input(correction.input, prepare, inputs, one_line, correction.path, correction.finish_reason)
    if cells is None:
        return why_no_columns(*logged)
    answer = _by_column(correction.correction, form)
    if answer is None:
        return "its text is not of the form of prepare.answer"
    row = cells | {column: clean(text) for column, text in answer.items() if column in rules.answer}
    return contexts.with_start(row, answer.get("start")) if isinstance(form, SpanAnswer) else row


def _by_column(correction: Mapping[str, object], form: AnswerFormat) -> dict[str, str] | None:
    """Return a correction by column; older versions kept that of a text answer as its whole text."""
    text = correction.get(TEXT)
    if set(correction) == {TEXT} and TEXT not in form.columns and isinstance(text, str):
        return form.read(text)
    return {column: text for column, text in correction.items() if isinstance(text, str)}


def _with_questions(
    candidates: list[Candidate], known: list[Candidate], form: Templates
) -> tuple[list[Candidate], list[Candidate]]:
    """Set the text of both to what the person wrote: with the template around it, short messages under a long
    instruction would all look alike. So would questions about one context, which a short hash replaces.
    """
    columns = asked_columns([candidate.row for candidate in (*known, *candidates)], form["user"])
    text_of = partial(contexts.question_text, columns=columns, context=form.get("context"))
    first, second = (
        [replace(candidate, text=text_of(candidate.row)) for candidate in group] for group in (candidates, known)
    )
    return first, second


def _write(sifted: Sifted, pairs: Pairs, dataset: Dataset, name: str, task: str, source: Path, now: float) -> Harvest:
    """Write the quarantine first, then the pairs and the data, and the lineage last."""
    number = f"{lineage.next_number(name, source):04}"
    home = lineage.folder(name)
    aside = [
        {"request": candidate.request, "key": candidate.key, "reasons": list(candidate.reasons), **candidate.row}
        for candidate in (*sifted.quarantined, *sifted.waiting)
    ]
    if aside:
        write_jsonl(home / f"quarantine-{number}.jsonl", aside)
    preferred = preferences.write(pairs, lineage.pairs_folder(task) / f"harvested-{number}.jsonl")
    file = source / f"harvested-{number}.{format_for_new_rows(dataset.ingest, source)}" if sifted.taken else None
    if file:
        columns = [column for column in dataset.ingest.columns or () if column != "id"]
        of_json = dataset.ingest.json_columns if file.suffix in (".json", ".jsonl") else []
        write_rows(file, [stored_row(candidate, columns, of_json, dataset.prepare) for candidate in sifted.taken])
    kept = {kind: [lineage.entry(candidate) for candidate in getattr(sifted, kind)] for kind in lineage.GROUPS}
    written = {"file": str(file) if file else None, "sha256": sha256(file) if file else None}
    if any(kept[kind] for kind in lineage.DONE):
        about = {"task": task, "dataset": name, "at": now, **written, "pairs": preferred}
        write_json(home / f"harvested-{number}.json", about | kept)
    reasons = Counter(reason for candidate in sifted.skipped for reason in candidate.reasons[:1])
    why = reasons.most_common(1)[0][0] if reasons else ""
    taken, quarantined, waiting, skipped = (len(kept[kind]) for kind in lineage.GROUPS)
    return Harvest(written["file"], taken, quarantined, waiting, skipped, why, pairs)
