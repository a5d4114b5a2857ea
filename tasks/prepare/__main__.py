"""Cleans, deduplicates, splits, decontaminates and formats rows; each row ends up in one split, or in dropped.jsonl with a reason."""

from pathlib import Path

from tasks import stage
from tasks.clean import clean
from tasks.errors import AnnealError
from tasks.expectations import check
from tasks.files import read_jsonl, whole_directory, write_json, write_jsonl
from tasks.prepare.duplicates import similar_pairs
from tasks.prepare.format import format_row
from tasks.prepare.params import Prepare
from tasks.prepare.split import split

SPLITS = ("train", "validation", "test")


def prepare(params: Prepare, validated: Path, suite: Path, out: Path, docs: Path, report: Path) -> None:
    """Write `out/{train,validation,test,dropped}.jsonl` and `out/format.json`, Data Docs in `docs/`, figures in `report`.

    A row of a split is `{id, messages, answer, row}`. Raises AnnealError when a split is empty or the suite for
    prepared rows does not hold.
    """
    rows = [format_row({name: clean(text) for name, text in row.items()}, params) for row in read_jsonl(validated / "rows.jsonl")]
    kept, dropped = assign(rows, params)
    for name in SPLITS:
        if not any(row["split"] == name for row in kept):
            raise AnnealError(f"prepare: the {name} split is empty ({len(rows)} rows in, {len(dropped)} dropped); add data, or change the shares in params.yaml.")
    _check_prepared(kept, suite, docs)
    with whole_directory(out) as folder:
        for name in SPLITS:
            write_jsonl(folder / f"{name}.jsonl", [{key: row[key] for key in ("id", "messages", "answer", "row")} for row in kept if row["split"] == name])
        write_jsonl(folder / "dropped.jsonl", dropped)
        write_json(folder / "format.json", {"system": params.system, "user": params.user, "answer": params.answer})
    counts = {name: sum(row["split"] == name for row in kept) for name in SPLITS}
    write_json(report, {"rows": len(rows), **counts, "dropped": len(dropped)})


def assign(rows: list[dict], params: Prepare) -> tuple[list[dict], list[dict]]:
    """Each row with its `split`, in an order that does not depend on the order of the source; and the dropped ones with `reason`.

    Near-duplicates leave one survivor; then rows of training that resemble a held-out row too much go as well.
    """
    rows = sorted(rows, key=lambda row: (row["messages"][-1]["content"], row["answer"], row["id"]))
    texts = [row["messages"][-1]["content"] for row in rows]
    reasons: dict[int, str] = {}
    for i, j in similar_pairs(texts, texts, params.near_duplicate_similarity):
        if i > j and j not in reasons and i not in reasons:
            reasons[i] = f"near-duplicate of {rows[j]['id']}"
    splits = [split(text, params.seed, params.validation_share, params.test_share) for text in texts]
    held_out = [i for i in range(len(rows)) if splits[i] != "train" and i not in reasons]
    trained = [i for i in range(len(rows)) if splits[i] == "train" and i not in reasons]
    for i, j in similar_pairs([texts[i] for i in trained], [texts[j] for j in held_out], params.contamination_similarity):
        reasons.setdefault(trained[i], f"too like {rows[held_out[j]]['id']} of the {splits[held_out[j]]} split")
    kept = [{**row, "split": splits[i]} for i, row in enumerate(rows) if i not in reasons]
    return kept, [{**row["row"], "reason": reasons[i]} for i, row in enumerate(rows) if i in reasons]


def _check_prepared(kept: list[dict], suite: Path, docs: Path) -> None:
    table = [{**row["row"], "split": row["split"], "prompt": row["messages"][-1]["content"], "answer": row["answer"]} for row in kept]
    for rule in check(table, suite, docs, "prepared"):
        shown = "; ".join(f"{table[index]['id']}: {table[index]['answer'][:60]}" for index in rule.rows[:3]) or f"observed {rule.observed!r}"
        raise AnnealError(f"prepared rows break {rule.reason()} ({len(rule.rows) / len(table):.1%} of rows): {shown}; see {docs / 'index.html'}, mend the data or {suite}.")


if __name__ == "__main__":
    stage.main(prepare, Prepare, "datasets.{row}.prepare")
