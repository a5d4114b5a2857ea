"""Asks the parent about each row with the nearest training rows as examples."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from tasks.comparison.further.neighbours import FOLDER, known_rows, tried_rows
from tasks.comparison.further.place import Place
from tasks.dataset import answered
from tasks.dataset.rows import Answered, Prepared
from tasks.dialogues.chat import encode_question, load_tokenizer
from tasks.files import read_json, read_jsonl, sha256, write_json
from tasks.formats.answer import format_in
from tasks.inference.parent import ask
from tasks.stages.evaluate.measures.accuracy import accuracy
from tasks.stages.evaluate.predictions import known_classes, read
from tasks.stages.few_shot import context_length, with_examples

NAME = "retrieved"
TRIED = "tried_with"  # and k: a folder
KS = (1, 2, 4)
Rows = list[Prepared]


def why_none(place: Place) -> str:
    """Why no examples can be retrieved; empty where they can."""
    for who in ("few_shot", "probe"):  # where fixed ones cannot be shown, or there are no labels, these cannot
        if reason := place.why_none(who):
            return reason
    if not place.evaluate.labels:
        return "no labels are measured (`evaluate.labels`), by which to choose how many examples"
    return ""


def made_of(place: Place) -> dict[str, object]:
    """What answers rest on, by its hash."""
    return {
        "neighbours": sha256(place.further / FOLDER / "neighbours.json"),
        "parent": sha256(place.parent),
        "prepared": sha256(place.prepared),
        "predict": place.predict.model_dump(mode="json"),
    }


def try_out(place: Place, k: int, out: Path) -> None:
    """Write `out/score.json`: the share of right labels of the validation rows, asked with k examples."""
    rows = tried_rows(place)
    rows_answered, _ = _asked(place, rows, "validation", k, f"{NAME} ({k} a row)")
    labels, form = place.evaluate.labels, format_in(read_json(place.prepared / "format.json"))
    every: Rows = [row for split in ("train", "validation") for row in read_jsonl(place.prepared / f"{split}.jsonl")]
    predictions = read(rows_answered, form, known_classes(every, form, labels))
    right = mean(accuracy(label).value(accuracy(label).rows(predictions)) for label in labels)
    write_json(out / "score.json", {"labels_right": float(right), "rows": len(rows)})


def chosen(place: Place) -> tuple[int, dict[int, float]]:
    """(k, {k: its score}): the smallest of the best of those tried; the largest where there are no validation rows."""
    tried = KS if tried_rows(place) else ()
    scores = {k: float(read_json(place.further / f"{TRIED}_{k}" / "score.json")["labels_right"]) for k in tried}
    return (max(scores, key=scores.__getitem__) if scores else KS[-1]), scores


def answer(place: Place, k: int, scores: dict[int, float], out: Path) -> None:
    """Write `out/predictions.jsonl` and `out/timing.json`: the parent's answers to the test rows, each after its k
    nearest training rows, the nearest last.
    """
    predictions, timing = _asked(place, read_jsonl(place.prepared / "test.jsonl"), "test", k, NAME)
    tried = {str(size): round(score, 4) for size, score in scores.items()}
    about = {"k": k, "tried": tried, "tried_on": f"{len(tried_rows(place))} validation rows"}
    answered.write(out, predictions, {**timing, **about})


def _asked(place: Place, rows: Rows, split: str, k: int, what: str) -> tuple[list[Answered], dict[str, object]]:
    near: list[list[int]] = read_json(place.further / FOLDER / "neighbours.json")[split]
    known = known_rows(place)
    examples = [[known[n] for n in reversed(places[:k])] for places in near]
    asked, left_out = fitting(place, rows, examples)
    answers, facts = ask(place.predict, place.parent, place.prepared, asked, what)
    predictions: list[Answered] = [
        {**answer, "messages": row["messages"]} for row, answer in zip(rows, answers.predictions, strict=True)
    ]
    return predictions, {"seconds_per_answer": answers.seconds / len(rows), "left_out": left_out, **facts}


def fitting(place: Place, rows: Rows, examples: Sequence[Rows]) -> tuple[Rows, int]:
    """(each row behind so many of its examples as the parent's context holds, the farthest left out first; how many
    were left out).
    """
    tokenizer, room = load_tokenizer(place.parent), context_length(place.parent) - place.predict.max_new_tokens
    asked, left_out = [], 0
    for row, own in zip(rows, examples, strict=True):
        taken = list(own)
        while len(encode_question(tokenizer, shown := with_examples(taken, row))) > room and taken:
            taken.pop(0)
            left_out += 1
        asked.append(shown)
    return asked, left_out
