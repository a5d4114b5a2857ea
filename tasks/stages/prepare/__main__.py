"""Cleans, deduplicates, splits, decontaminates and formats rows; each row ends up in one split, or in dropped.jsonl
with a reason.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from tasks import stage
from tasks.dataset.expectations import check
from tasks.dataset.prepared import SPLITS
from tasks.dataset.rows import Prepared
from tasks.errors import AnnealError, listed
from tasks.files import read_json, read_jsonl, whole_directory, write_json, write_jsonl
from tasks.formats.spans import span_of
from tasks.kinds import KindIn
from tasks.stages.prepare import classes, numbers, shapes
from tasks.stages.prepare.figures import figures, sentences, too_few
from tasks.stages.prepare.params import Prepare
from tasks.stages.prepare.rows import SetAside, Templates, table
from tasks.stages.prepare.split_or_drop import Dropped, Placed, assign

SECTION: Any = Annotated[Prepare, KindIn(shapes.__name__, "shape")]


def prepare(params: Prepare, validated: Path, suite: Path, out: Path, docs: Path, report: Path) -> None:
    """Write `out/{train,validation,test,dropped}.jsonl` and `out/format.json`, Data Docs in `docs/`, figures in
    `report`.

    A row of a split is `{id, messages, answer, row}`. Raises AnnealError if a split is empty, a column is not a label,
    a table rule of the suite for prepared rows does not hold, or more rows are set aside (here and by validate) than
    validate allows.
    """
    shape = shapes.of(params)
    examples, useless = _examples(read_jsonl(validated / "rows.jsonl"), params)
    aside = [row for row in useless if row.kind != "no_preference"]
    _refuse_too_many(aside, validated)
    assignment = assign(examples, params)
    dropped = [*useless, *assignment.dropped]
    _refuse_empty_split(assignment.kept, dropped, params)
    kept, broken = _checked(assignment.kept, suite, docs)
    labels, scored = getattr(params, "labels", ()), getattr(params, "numbers", ())  # of a shape whose rows have some
    classes.check(kept, labels)
    of_labels, remarks = classes.figures(kept, labels), [*classes.remarks(kept, labels), *numbers.remarks(kept, scored)]
    kept, unseen = classes.drop_unseen_entities(kept) if shape.makes == "tagged" else classes.drop_unseen(kept, labels)
    dropped += [*broken, *unseen]
    _refuse_too_many([*aside, *broken], validated)
    _refuse_empty_split(kept, dropped, params)
    with whole_directory(out) as folder:
        for name in SPLITS:
            write_jsonl(folder / f"{name}.jsonl", [dict(placed.row) for placed in kept if placed.split == name])
        write_jsonl(folder / "dropped.jsonl", [{**row.row, "reason": row.reason} for row in dropped])
        facts = {
            "shape": shapes.name_of(params),
            "example": shape.makes,
            **_tools(kept),
            **_known(kept, labels, scored),
        }
        facts |= _answered(kept) if shape.makes == "spans" else {}
        write_json(folder / "format.json", {**_with_system(shape.templates(params), kept), **facts})
    write_json(report, {**figures(kept, dropped, params), **({"classes": of_labels} if labels else {})})
    for line in sentences(dropped, params):
        print(f"prepare: left out {line}", file=sys.stderr, flush=True)
    for line in [*too_few(kept, params), *remarks]:
        print(f"prepare: {line}", file=sys.stderr, flush=True)


def _with_system(form: Templates, kept: Sequence[Placed]) -> Templates:
    """`form` with the system message that all rows share, so that the served model gets it too."""
    first = [placed.row["messages"][0] for placed in kept if placed.row["messages"]]
    own = {turn["content"] if turn["role"] == "system" else None for turn in first}
    return {**form, "system": own.pop()} if len(own) == 1 and form["system"] is None else form


def _tools(kept: Sequence[Placed]) -> dict[str, bool]:
    """`{"tools": True}` if answers may call tools."""
    return {"tools": True} if any("tools" in placed.row or "calls" in placed.row for placed in kept) else {}


def _known(kept: Sequence[Placed], labels: Sequence[str], scored: Sequence[str]) -> dict[str, object]:
    """The shares of each label's classes, and the scales of numbers, if the rows have some."""
    shares = {"classes": classes.shares(kept, labels)} if labels else {}
    return {**shares, **({"numbers": numbers.scales(kept, scored)} if scored else {})}


def _answered(kept: Sequence[Placed]) -> dict[str, float]:
    """The share of the training rows whose context has an answer."""
    trained = [placed.row["answer"] for placed in kept if placed.split == "train"]
    return {"answered": sum(span_of(answer) is not None for answer in trained) / len(trained)}


def _examples(rows: Sequence[dict[str, str]], params: Prepare) -> tuple[list[Prepared], list[Dropped]]:
    """(examples, rows that nothing can be learnt from)."""
    shape, examples, aside = shapes.of(params), list[Prepared](), list[Dropped]()
    classes.check_names(rows, getattr(params, "names_of", {}))
    for row in rows:
        try:
            examples.append(shape.example(row, params))
        except SetAside as reason:
            aside.append(Dropped(row, reason.kind, str(reason)))
        except KeyError as column:
            has = listed(row)
            raise AnnealError(
                f"row {row['id']}: has no {column}, which prepare in params.yaml reads ({has})."
            ) from None
    return examples, aside


def _refuse_empty_split(kept: Sequence[Placed], dropped: Sequence[Dropped], params: Prepare) -> None:
    for name in SPLITS:
        if not any(placed.split == name for placed in kept):
            reasons = "".join(f"; {line}" for line in sentences(dropped, params))
            raise AnnealError(
                f"prepare: the {name} split is empty ({len(kept) + len(dropped)} rows in, {len(dropped)} "
                f"dropped{reasons}); add data, or change the shares or thresholds in params.yaml."
            )


def _refuse_too_many(aside: Sequence[Dropped], validated: Path) -> None:
    """Raise AnnealError if the rows set aside here and by validate exceed the share that validate allows."""
    limits = read_json(validated / "limits.json")
    count, allowed = limits["quarantined"] + len(aside), limits["max_quarantined_share"]
    if aside and count > allowed * limits["rows"]:
        shown = "; ".join(f"{row.row['id']}: {row.reason}" for row in aside[:3])
        raise AnnealError(
            f"{count / limits['rows']:.1%} of {limits['rows']} rows are blank, not of their shape or break a rule "
            f"(validate.max_quarantined_share allows {allowed:.1%}), {len(aside)} of them seen by prepare, for example "
            f"{shown}; fix the data, or the rule."
        )


def _checked(kept: Sequence[Placed], suite: Path, docs: Path) -> tuple[list[Placed], list[Dropped]]:
    """(rows that keep all row rules of the suite for prepared rows, those that break one); AnnealError for a broken
    table rule.
    """
    rows = [{**table(placed.row), "split": placed.split} for placed in kept]
    reasons: dict[int, list[str]] = {}
    for rule in check(rows, suite, docs, "prepared"):
        if not rule.is_row_rule:
            raise AnnealError(
                f"prepared rows break {rule.reason()}: observed {rule.observed!r}; see {docs / 'index.html'}, fix "
                f"the data or {suite}."
            )
        for index in rule.rows:
            reasons.setdefault(index, []).append(rule.reason())
    broken = [
        Dropped(kept[index].row["row"], "broken_rule", f"breaks {', '.join(rules)}")
        for index, rules in sorted(reasons.items())
    ]
    return [placed for index, placed in enumerate(kept) if index not in reasons], broken


if __name__ == "__main__":
    stage.main(prepare, SECTION, "datasets.{row}.prepare")
