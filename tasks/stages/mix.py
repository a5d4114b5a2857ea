"""Adds training rows of other datasets to those of a dataset, by weight: general rows against forgetting, or several
tasks in one model. To later stages a mix is a dataset, and so may be mixed again.

DVC knows two parts per mix, so more are mixed in rows that build on each other: `share: all` concatenates two datasets,
and the last row gives the share of each dataset in `shares`.
"""

import hashlib
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from tasks import stage
from tasks.dataset.rows import Prepared, prompt
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, whole_directory, write_json, write_jsonl
from tasks.section import Section
from tasks.texts import template
from tasks.texts.duplicates import first_like

COPIED = ("validation.jsonl", "test.jsonl", "dropped.jsonl", "format.json")  # from the dataset that is mixed into
WORD = re.compile(r"\w+|[^\w\s]")
Share = Annotated[float, Field(gt=0, lt=1, description="share of the training rows")]


class Mix(Section):
    """A row of `mixes`: a dataset, and the one whose training rows are added to it."""

    dataset: Annotated[
        str, Field(description="row of datasets or mixes that keeps its rows and provides validation and test rows")
    ]
    other: Annotated[str, Field(description="row of datasets or mixes whose training rows are added")]
    share: Annotated[
        Share | Literal["all"], Field(description="share of the training rows drawn from `other`; all: every one")
    ] = 0.2
    shares: dict[str, Share] = Field(default={}, description="share of each dataset in the mix")
    by: Annotated[
        Literal["rows", "tokens"],
        Field(
            description="unit of the shares; tokens are counted as words and punctuation marks, since "
            "datasets have no tokenizer"
        ),
    ] = "rows"
    contamination_similarity: Annotated[
        float, Field(gt=0, le=1, description="rows of `other` at least this similar to a held-out row are left out")
    ] = 0.6
    seed: Annotated[int, Field(ge=0, description="seed of the rows that are drawn")] = 42

    @model_validator(mode="after")
    def _shares_are_of_one_whole(self) -> "Mix":
        if self.shares and "share" in self.model_fields_set:
            raise ValueError("share says how much the other counts, and shares how much each does; remove one")
        if self.shares and abs(sum(self.shares.values()) - 1) > 1e-6:
            raise ValueError(f"shares add up to {sum(self.shares.values()):g}; they should add up to 1")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether all rows of both datasets are kept."""
        return self.share == "all" and not self.shares


class Part(NamedTuple):
    """Rows of one dataset, and the prefix of their ids."""

    name: str
    prefix: str
    rows: list[Prepared]


def mix(params: Mix, prepared: Path, other: Path, out: Path, report: Path) -> None:
    """Write `out/` like a prepared dataset, and counts to `report`.

    Its training rows are those of `prepared/` followed by rows of `other/`; everything else is copied from `prepared/`.
    The rows of the first dataset all stay; those of others are picked by the hash of seed and id. Raises AnnealError if
    no row of `other/` is left to add.
    """
    rows, others = read_jsonl(prepared / "train.jsonl"), read_jsonl(other / "train.jsonl")
    held_out = [row for name in ("validation", "test") for row in read_jsonl(prepared / f"{name}.jsonl")]
    questions = _questions(others, read_json(other / "format.json"))
    held_out_questions = _questions(held_out, read_json(prepared / "format.json"))
    similar = first_like(questions, held_out_questions, params.contamination_similarity)
    clean = [row for row, pair in zip(others, similar, strict=True) if pair is None]
    if not clean:
        raise AnnealError(
            f"mix: all {len(others)} training rows of {params.other} are too similar to held-out rows of "
            f"{params.dataset}; mix in another dataset."
        )
    first, parts = _parts(params, rows, clean)
    picked = [part._replace(rows=_pick_for_share(params, first, part, parts)) for part in parts]
    with whole_directory(out) as folder:
        for name in COPIED:
            shutil.copy(prepared / name, folder / name)
        added = [{**row, "id": f"{part.prefix}{row['id']}"} for part in picked for row in part.rows]
        write_jsonl(folder / "train.jsonl", [*first, *added])
    write_json(report, {**_figures(params, first, picked), "too_like_held_out": len(others) - len(clean)})


def _parts(params: Mix, rows: list[Prepared], added: list[Prepared]) -> tuple[list[Prepared], list[Part]]:
    """(the rows of the first dataset, which all stay; the datasets that others are picked from)."""
    prefix = f"{params.other}:"
    if params.is_whole:
        added_part = Part(params.other, prefix, _with_origin(params.other, added))
        return _with_origin(params.dataset, rows), [added_part]
    if not params.shares:
        added_part = Part(params.other, prefix, [_without_origin(row) for row in added])
        return [_without_origin(row) for row in rows], [added_part]
    parts: dict[str, Part] = {}
    for dataset, id_prefix, dataset_rows in ((params.dataset, "", rows), (params.other, prefix, added)):
        for row in dataset_rows:
            origin = row.get("of", dataset)
            parts.setdefault(origin, Part(origin, id_prefix, [])).rows.append(_without_origin(row))
    for name in params.shares:
        if name not in parts:
            raise AnnealError(f"mix: no training row of {name} is left to add; mix in another dataset.")
    first = parts.pop(rows[0].get("of", params.dataset))
    return first.rows, [parts[name] for name in sorted(params.shares) if name != first.name]  # DVC knows no order


def _pick_for_share(params: Mix, first: list[Prepared], part: Part, parts: Sequence[Part]) -> list[Prepared]:
    """The rows of `part` that give it its share beside the `first` rows; all of them, with a warning, if too few."""
    if params.is_whole:
        return part.rows
    shares = params.shares or {part.name: float(params.share)}
    left = 1 - sum(shares[other.name] for other in parts)
    target = max(1, round(_size(params, first) * shares[part.name] / left))
    if (available := _size(params, part.rows)) < target:
        print(
            f"mix: {part.name} has {available} {params.by} to add, {target} would be needed for a share of "
            f"{shares[part.name]:g}",
            file=sys.stderr,
        )
    return pick(part.rows, target, params.seed, params.by)


def _figures(params: Mix, first: list[Prepared], picked: Sequence[Part]) -> dict[str, object]:
    """The rows of the first dataset, the rows added, and their share; with `shares`, also the share of each dataset."""
    total = _size(params, first) + sum(_size(params, part.rows) for part in picked)
    shares = {part.name: _size(params, part.rows) / total for part in picked}
    counts: dict[str, object] = {
        "rows": len(first),
        "added": sum(len(part.rows) for part in picked),
        "share": sum(shares.values()),
    }
    return {**counts, "shares": shares} if params.shares else counts


def _with_origin(name: str, rows: Sequence[Prepared]) -> list[Prepared]:
    """Rows marked as being of the dataset `name`, unless they are marked already."""
    return [{"of": name, **row} for row in rows]


def _without_origin(row: Prepared) -> Prepared:
    plain = row.copy()
    plain.pop("of", None)
    return plain


def _size(params: Mix, rows: Iterable[Prepared]) -> int:
    return sum(map(SIZES[params.by], rows))


def tokens(row: Prepared) -> int:
    """The number of words and punctuation marks of a row, prompt included: about its tokens with any tokenizer."""
    sides = [row["infill"]["prefix"], row["infill"]["suffix"]] if "infill" in row else []
    return len(WORD.findall("\n".join([*(turn["content"] for turn in row["messages"]), *sides, row["answer"]])))


SIZES: Mapping[str, Callable[[Prepared], int]] = {"rows": lambda _: 1, "tokens": tokens}


def pick(rows: Sequence[Prepared], target: int, seed: int, by: str = "rows") -> list[Prepared]:
    """At most `target` of `rows` (as close to `target` tokens as possible), in their order: those with the smallest
    hash of `seed` and id, so that one more row in the source changes at most one, or few.
    """
    order = sorted(range(len(rows)), key=lambda i: hashlib.sha256(f"{seed} {rows[i]['id']}".encode()).digest())
    sums = list(accumulate(SIZES[by](rows[i]) for i in order))
    count = min(range(len(sums)), key=lambda i: abs(sums[i] - target), default=-1) + 1
    return [rows[i] for i in sorted(order[:count])]


def _questions(rows: Sequence[Prepared], spec: Mapping[str, object]) -> list[str]:
    """The question of each row without the words of its template; if the template has no columns of the row, all user
    messages, or the text.
    """
    columns = template.columns(spec["user"])
    return ["\n".join(row["row"][name] for name in columns if name in row["row"]) or prompt(row) for row in rows]


if __name__ == "__main__":
    stage.main(mix, Mix, "mixes.{row}")
