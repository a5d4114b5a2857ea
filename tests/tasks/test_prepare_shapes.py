"""prepare on rows of every shape: what was asked decides split, duplicates and leaks; what is no row is counted."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tasks import kinds
from tasks.dataset.rows import prompt
from tasks.errors import AnnealError
from tasks.files import read_json
from tasks.preflight import profile
from tasks.stages.prepare import shapes
from tasks.stages.prepare.split_or_drop import assign
from tests.tasks.preparing import SPLITS, bodies, run

REPLIES = bodies(60, seed=1)
SHARES = {"validation_share": 0.2, "test_share": 0.3}


def turns(question: str, answer: str, *more: str) -> str:
    said = [
        {"role": role, "content": text}
        for role, text in zip(("user", "assistant") * 3, (question, answer, *more), strict=False)
    ]
    return json.dumps(said)


def squads(answer: str) -> dict[str, list]:
    """An answer at the beginning of its context, as SQuAD has it."""
    return {"text": [answer], "answer_start": [0]}


def cells(shape: str, number: int, text: str) -> dict[str, str]:
    """A row of the shape, with `text` where something is asked."""
    return {
        "id": f"r{number:03}",
        **{
            "table": {"q": text, "a": REPLIES[number]},
            "alpaca": {"instruction": text, "input": "", "output": REPLIES[number]},
            "chat": {"messages": turns("Hello", "Hi", text, REPLIES[number])},
            "preference": {"prompt": text, "chosen": REPLIES[number], "rejected": "No."},
            "choice": {"prompt": text, "chosen": REPLIES[number], "rejected": "No."},
            "rated": {"messages": turns(text, REPLIES[number]), "label": ["true", "false"][number % 2]},
            "text": {"text": text},
            "infill": {"prefix": text, "middle": REPLIES[number], "suffix": " That is all."},
            "pair": {"source": text, "target": REPLIES[number]},
            "labelled": {"t": text, "l": ["a", "b"][number % 40 % 2]},
            "scored": {"t": text, "n": str(number % 40 / 4)},
            "image": {"image": text, "label": ["a", "b"][number % 40 % 2]},
            "tagged": {"tokens": text, "tags": " ".join(["B-X", *["O"] * (len(text.split()) - 1)])},
            "spans": {"question": "First?", "context": text, "answers": json.dumps(squads(text.split()[0]))},
        }[shape],
    }


def with_files(rows: list[dict[str, str]], folder: Path) -> list[dict[str, str]]:
    """The same rows, their text of an image a file whose pixels follow from it."""
    folder.mkdir()
    for number, row in enumerate(rows):
        file = folder / f"{number}.png"
        Image.frombytes("L", (4, 4), row["image"].ljust(16).encode()[:16]).save(file)
        row["image"] = file.as_posix()
    return rows


def params(shape: str, **changes: object) -> shapes.Section:
    columns = {
        "table": {"user": "{{ q }}", "answer": "{{ a }}"},
        "labelled": {"user": "{{ t }}", "labels": ["l"]},
        "scored": {"user": "{{ t }}", "numbers": ["n"]},
    }.get(shape, {})
    made: shapes.Section = kinds.load(shapes.__name__, shape).Params(**{"shape": shape, **columns, **SHARES, **changes})
    return made


def suite(section: shapes.Section) -> list[dict]:
    shape = shapes.of(section)
    return [dict(rule) for rule in profile.prepared_rules(shape.makes, shape.templates(section)["answer"])]


@pytest.mark.parametrize("shape", kinds.names(shapes.__name__))
def test_rows_of_every_shape_are_split_and_said_what_they_are(shape: str, tmp_path: Path) -> None:
    texts = bodies(40)
    rows = [cells(shape, number, text) for number, text in enumerate([*texts, texts[0], texts[1]])]
    rows = with_files(rows, tmp_path / "files") if shape == "image" else rows
    section = params(shape)
    made = run(tmp_path, rows, section, suite(section))
    assert sum(len(made[name]) for name in (*SPLITS, "dropped")) == 42 and all(made[name] for name in SPLITS)
    form = read_json(tmp_path / "out" / "format.json")
    assert (form["shape"], form["example"]) == (shape, shapes.of(section).makes)
    assert {"id", "messages", "answer", "row"} <= set(made["train"][0])
    repeats = 0 if shape in ("choice", "preference", "rated") else 2  # other answers to one question are other rows
    assert len([row for row in made["dropped"] if row["reason"].startswith("near-duplicate")]) == repeats
    asked = {prompt(row): name for name in SPLITS for row in made[name]}
    assert all(asked[prompt(row)] == name for name in SPLITS for row in made[name])


@pytest.mark.parametrize(
    ("shape", "first", "second", "reason"),
    [
        ("preference", {"prompt": "Tea?", "chosen": "Yes.", "rejected": "No."},
         {"prompt": "tea?", "chosen": "No.", "rejected": "Yes."}, "contradicts a, which asks"),
        ("preference", {"prompt": "Tea?", "chosen": "Yes.", "rejected": "No."},
         {"prompt": "tea?", "chosen": "Yes.", "rejected": "No."}, "near-duplicate of a"),
        ("choice", {"prompt": "Tea?", "chosen": "Yes.", "rejected": "No."},
         {"prompt": "Tea?", "chosen": "No.", "rejected": "Yes."}, "contradicts a, which asks"),
        ("choice", {"prompt": "Tea?", "chosen": "Yes.", "rejected": "No."},
         {"prompt": "Tea?", "chosen": "Yes.", "rejected": "No."}, "near-duplicate of a"),
        ("rated", {"messages": turns("Tea?", "Yes."), "label": "yes"},
         {"messages": turns("Tea?", "yes."), "label": "no"},
         "contradicts a, which asks (nearly) the same: `rating` is 'bad' here and 'good' there"),
        ("rated", {"messages": turns("Tea?", "Yes."), "label": "yes"},
         {"messages": turns("Tea?", "yes."), "label": "1"},
         "near-duplicate of a"),
        ("chat", {"messages": turns("Tea with milk and sugar, please?", "Yes.")},
         {"messages": turns("Tea with milk and sugar, please?", "No.")}, "contradicts a, which asks (nearly) the same"),
    ],
)  # fmt: skip
def test_rows_that_say_the_same_or_the_contrary(shape: str, first: dict, second: dict, reason: str) -> None:
    section = params(shape)
    rows = [shapes.of(section).example({"id": name, **row}, section) for name, row in (("a", first), ("b", second))]
    dropped = {row.row["id"]: row.reason for row in assign(rows, section).dropped}
    assert dropped["b"].startswith(reason)
    assert ("a" in dropped) == reason.startswith("contradicts")


def test_a_dialogue_that_another_goes_on_from_is_no_row_of_training() -> None:
    section = params("chat", validation_share=0.01, test_share=0.49)
    start = bodies(60)
    rows = [
        shapes.of(section).example({"id": f"{i}{name}", "messages": messages}, section)
        for i, text in enumerate(start)
        for name, messages in (("short", turns(text, "Yes.")), ("long", turns(text, "Yes.", "And milk?", "No.")))
    ]
    kept = assign(rows, section).kept
    split = {placed.row["id"]: placed.split for placed in kept}
    both = [i for i in range(60) if f"{i}short" in split and f"{i}long" in split]
    assert all(split[f"{i}short"] == split[f"{i}long"] == "train" or split[f"{i}short"] != "train" for i in both)


def test_rows_that_are_not_of_their_shape_count_and_pairs_that_prefer_nothing_do_not(tmp_path: Path) -> None:
    section = params("preference")
    rows = [cells("preference", number, text) for number, text in enumerate(bodies(60))]
    same = [{**row, "rejected": row["chosen"]} for row in rows[:10]]
    made = run(tmp_path / "same", [*same, *rows[10:]], section, suite(section))
    assert read_json(tmp_path / "same/report.json")["dropped_for"]["no_preference"] == 10
    assert made["dropped"][0] == {**same[0], "reason": "`chosen` and `rejected` say the same"}
    with pytest.raises(AnnealError, match=r"^16\.7% of 60 rows are .* r000: it has no prompt, and `chosen` is"):
        run(tmp_path / "none", [*({**row, "prompt": ""} for row in rows[:10]), *rows[10:]], section, suite(section))


@pytest.mark.parametrize(("others", "system"), [("Be brief.", "Be brief."), ("Be kind.", None)])
def test_a_system_message_that_all_rows_bring_is_the_one_the_model_is_served_with(
    others: str, system: str | None, tmp_path: Path
) -> None:
    section, rows = params("alpaca"), [cells("alpaca", number, text) for number, text in enumerate(bodies(40))]
    own = [{**row, "system": others if number % 2 else "Be brief."} for number, row in enumerate(rows)]
    run(tmp_path, own, section, suite(section))
    assert read_json(tmp_path / "out" / "format.json")["system"] == system


def test_a_column_that_the_rows_do_not_have_is_a_sentence(tmp_path: Path) -> None:
    section = params("text", text="body")
    with pytest.raises(AnnealError, match=r"^row r000: has no 'body', which prepare in params\.yaml reads \("):
        run(tmp_path, [cells("text", 0, "Tea.")], section, suite(section))
