"""Infers the shape of a dataset from the first rows of its source, for params.yaml."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from tasks import kinds
from tasks.dataset.ranked import ranking_of
from tasks.errors import AnnealError, listed, unusable
from tasks.params import Dataset
from tasks.preflight.yaml_edit import in_one_line
from tasks.stages.ingest import Ingest, first_as_read, is_image_folder
from tasks.stages.prepare import shapes
from tasks.stages.prepare.shapes import labelled

SPLITS = ("paragraphs", "lines")
LABEL = re.compile(r"__label__\S+|[A-Z]{2,}:[a-z]+")  # that a line begins with
MIN_ROWS = 10  # that can be split in three
PLACEHOLDER: dict[str, object] = {"shape": "text"}
PAIRS_SEED = 43  # not the default: with the seed of the questions, all pairs would be in the split that was sampled
TEMPLATES = ("user", "answer")  # a section with one of these is a table, unless another shape has the key too
BY_KEY = {"labels": "labelled", "numbers": "scored"}  # a key that one shape beside the table has
KEYS = {field.alias or name for name, field in Dataset.model_fields.items()}
Row = Mapping[str, object]


@dataclass(frozen=True)
class Recognised:
    """The keys of `prepare` and `ingest` that a row of `datasets` leaves out.

    If they cannot be inferred, the reason: `undecided` if the rows were read, `unread` if they could not be. `prepare`
    is then a placeholder that is never written.
    """

    prepare: dict[str, object] = field(default_factory=dict)
    ingest: dict[str, object] = field(default_factory=dict)
    undecided: str = ""
    unread: str = ""


def recognise(dataset: Mapping[object, object]) -> Recognised:
    """Infer what a row of `datasets`, as it was read, leaves out."""
    prepare = dataset.get("prepare", {})
    if not isinstance(prepare, Mapping) or "ingest" not in dataset or dataset.keys() - KEYS:
        return Recognised()
    if "shape" not in prepare and any(key in prepare for key in TEMPLATES):
        named = next((shape for key, shape in BY_KEY.items() if key in prepare), "table")
        return Recognised({"shape": named})
    if prepare.get("shape") == "table":
        return Recognised()
    try:
        ingest = Ingest.model_validate(dataset["ingest"])
    except ValidationError:
        return Recognised()  # reported when the section is parsed
    if ranking_of(ingest.source):
        seed = {} if "seed" in prepare else {"seed": PAIRS_SEED}
        return Recognised({} if "shape" in prepare else {"shape": "preference", **seed})
    try:
        split, rows = _first_rows(ingest)
    except AnnealError as error:
        if "shape" in prepare:
            return Recognised()  # reported by the check of the source
        return Recognised(PLACEHOLDER, unread=f"has no shape, and none can be inferred: {error}")
    result = _recognised({str(key): value for key, value in prepare.items()}, ingest, rows)
    return replace(result, ingest={**({"split": split} if split else {}), **result.ingest})


def _first_rows(ingest: Ingest) -> tuple[str | None, list[Row]]:
    """Return (how to split a single text file, the first rows of the source)."""
    try:
        return None, first_as_read(ingest)
    except OSError as error:
        raise AnnealError(unusable(error)) from None
    except AnnealError as error:
        if ingest.split is not None:
            raise
        try:
            rows = {split: first_as_read(ingest.model_copy(update={"split": split})) for split in SPLITS}
        except AnnealError:
            raise error from None
    if _begin_with_labels([str(row["text"]) for row in rows["lines"]]):
        return "labelled", first_as_read(ingest.model_copy(update={"split": "labelled"}))
    split = "paragraphs" if len(rows["paragraphs"]) >= MIN_ROWS else "lines"
    return split, rows[split]


def _begin_with_labels(lines: Sequence[str]) -> bool:
    """True if each line begins with a label as TREC (`LOC:city`) or fastText (`__label__sports`) writes them."""
    labels = [line.split(maxsplit=1)[0] for line in lines]
    return all(map(LABEL.fullmatch, labels)) and 2 <= len(set(labels)) <= len(labels) / 2


def _recognised(prepare: dict[str, object], ingest: Ingest, rows: Sequence[Row]) -> Recognised:
    """Infer the shape, and how to read the source for it."""
    selected = [{key: row[key] for key in ingest.columns or row if key in row and key != "id"} for row in rows]
    if words := _mixed(selected):
        return Recognised({} if "shape" in prepare else PLACEHOLDER, undecided=words)
    if "shape" in prepare:
        return Recognised({}, _reading(ingest, selected))
    candidates = _candidates(selected, prepare)
    most = max((len(used) for _, used in candidates), default=0)
    best: list[Mapping[str, object]] = [section for section, used in candidates if len(used) == most]
    if len(best) != 1:
        return Recognised(PLACEHOLDER, undecided=_undecided(best, selected))
    written = {key: value for key, value in best[0].items() if key not in prepare}
    return Recognised(written, {**_reading(ingest, selected), **_images(ingest, best[0])})


def _candidates(rows: Sequence[Row], prepare: dict[str, object]) -> list[tuple[dict[str, object], tuple[str, ...]]]:
    """Return (section, columns that it needs) of each shape that the rows may have."""
    candidates = []
    for kind in kinds.names(shapes.__name__):
        shape: Any = kinds.load(shapes.__name__, kind)
        settings = shape.recognise(rows) if rows else None
        if settings is None:
            continue
        section = {"shape": kind, **settings, **prepare}
        try:
            candidates.append((section, shape.columns(shape.Params.model_validate(section))))
        except ValidationError:  # a key of another shape
            continue
    return candidates


def _undecided(fitting: Sequence[Mapping[str, object]], rows: Sequence[Row]) -> str:
    has = listed(rows[0] if rows else ()) or "nothing"
    if fitting:
        names, ways = (
            " or ".join(map(str, words))
            for words in ([section["shape"] for section in fitting], map(_prepare_line, fitting))
        )
        return f"has no shape, and its rows ({has}) may be {names}: write {ways}."
    if classes := labelled.guess(rows):
        return (
            f"has no shape, and it is unclear which of its columns ({has}) are labels: write {_prepare_line(classes)}, "
            "with those that are."
        )
    all_shapes = "; ".join(
        f"{kind} ({kinds.load(shapes.__name__, kind).summary})" for kind in kinds.names(shapes.__name__)
    )
    return (
        f"has no shape, and none can be inferred from its rows ({has}): write prepare: {{shape: …}} with the "
        f"columns. There are: {all_shapes}."
    )


def _prepare_line(section: Mapping[str, object]) -> str:
    return f"prepare: {in_one_line(section)}"


def _reading(ingest: Ingest, rows: Sequence[Row]) -> dict[str, object]:
    """Return the keys of `ingest` without which the rows could not be read."""
    columns = dict.fromkeys(key for row in rows for key in row)
    nested = [column for column in columns if any(isinstance(row.get(column), list | Mapping) for row in rows)]
    optional = [column for column in columns if any(row.get(column) is None for row in rows)]
    more: dict[str, object] = {}
    if nested and not ingest.json_columns:
        more["json_columns"] = nested
    if optional and not ingest.optional_columns:
        more["optional_columns"] = [column for column in optional if column not in nested or _is_missing(rows, column)]
    return {key: names for key, names in more.items() if names}


def _images(ingest: Ingest, prepare: Mapping[str, object]) -> dict[str, object]:
    """Return `image_column` for a table that names images, so that they are read with its rows."""
    if prepare["shape"] != "image" or ingest.image_column or is_image_folder(ingest):
        return {}
    return {"image_column": prepare.get("image", "image")}


def _is_missing(rows: Sequence[Row], column: str) -> bool:
    return any(column not in row for row in rows)


def _mixed(rows: Sequence[Row]) -> str:
    """Return why a column cannot be read (its cells are texts in some rows, lists or objects in others); else empty."""
    for column in dict.fromkeys(key for row in rows for key in row):
        kinds_of_cells = {isinstance(row[column], str) for row in rows if row.get(column) is not None}
        if len(kinds_of_cells) > 1 and any(isinstance(row.get(column), list | Mapping) for row in rows):
            return f"holds texts in some rows and lists or objects in others in `{column}`: write one form."
    return ""
