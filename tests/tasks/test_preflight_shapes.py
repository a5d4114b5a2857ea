"""The shape of a dataset that names none is told from its first rows, written and said."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.errors import ParamsError
from tasks.preflight import checks
from tasks.preflight.recognise import recognise
from tasks.preflight.sections import complete
from tasks.stage import parse_yaml
from tasks.stages.ingest import Ingest, read

TURNS = [{"role": "user", "content": "Tea?"}, {"role": "assistant", "content": "Yes."}]
SHAREGPT = [{"from": "human", "value": "Tea?"}, {"from": "gpt", "value": "Yes."}]
TOOL = {"type": "function", "function": {"name": "search", "parameters": {}}}
HH = "\n\nHuman: Tea?\n\nAssistant: "


def lines(rows: list[dict]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def table(rows: list[dict]) -> str:
    import io

    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


FILES: list[tuple[str, str, Callable[[list[dict]], str], dict, dict, dict]] = [
    ("sharegpt", "json", json.dumps, {"conversations": SHAREGPT, "tools": "[]"},
     {"shape": "chat", "messages": "conversations"}, {"json_columns": ["conversations"]}),
    ("openai", "jsonl", lines, {"messages": TURNS, "tools": [TOOL]},
     {"shape": "chat"}, {"json_columns": ["messages", "tools"]}),
    ("openai in a table", "csv", table, {"messages": json.dumps(TURNS)}, {"shape": "chat"}, {}),
    ("alpaca", "json", json.dumps, {"instruction": "Sort.", "input": "", "output": "a"}, {"shape": "alpaca"}, {}),
    ("alpaca without input", "csv", table, {"instruction": "Sort.", "output": "a"}, {"shape": "alpaca"}, {}),
    ("prompt and completion", "jsonl", lines, {"prompt": "Sort.", "completion": "a"},
     {"shape": "alpaca", "instruction": "prompt", "output": "completion"}, {}),
    ("pairs of texts", "jsonl", lines, {"prompt": "Tea?", "chosen": "Yes.", "rejected": "No."}, {"shape": "preference"},
     {}),
    ("pairs of turns", "json", json.dumps,
     {"conversations": SHAREGPT[:1], "chosen": SHAREGPT[1], "rejected": SHAREGPT[1]},
     {"shape": "preference", "prompt": "conversations"}, {"json_columns": ["conversations", "chosen", "rejected"]}),
    ("pairs of dialogues", "jsonl", lines, {"chosen": f"{HH}Yes.", "rejected": f"{HH}No."}, {"shape": "preference"},
     {}),
    ("rated dialogues", "json", json.dumps, {"messages": TURNS, "label": True}, {"shape": "rated"},
     {"json_columns": ["messages"]}),
    ("rated completions", "jsonl", lines, {"prompt": "Tea?", "completion": "Yes.", "label": False},
     {"shape": "rated", "answer": "completion"}, {}),
    ("texts", "jsonl", lines, {"text": "Tea is hot.", "url": "x"}, {"shape": "text"}, {}),
    ("paragraphs", "txt", lambda rows: "\n\n".join(["Tea is hot."] * len(rows)), {}, {"shape": "text"},
     {"split": "paragraphs"}),
    ("lines", "txt", lambda rows: "\n".join(["Tea is hot."] * len(rows)), {}, {"shape": "text"}, {"split": "lines"}),
    ("translations", "jsonl", lines, {"translation": {"en": "tea", "de": "Tee"}},
     {"shape": "pair", "source": "translation.en", "target": "translation.de"}, {"json_columns": ["translation"]}),
    ("tokens and tags", "jsonl", lines, {"tokens": ["Anna", "left"], "ner_tags": ["B-PER", "O"]},
     {"shape": "tagged", "tags": "ner_tags"}, {"json_columns": ["tokens", "ner_tags"]}),
    ("spans", "jsonl", lines, {"text": "Anna left", "label": [[0, 4, "PER"]]}, {"shape": "tagged", "spans": "label"},
     {"json_columns": ["label"]}),
    ("source and target", "csv", table, {"source": "tea", "target": "Tee"}, {"shape": "pair"}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("ending", "write", "row", "prepare", "ingest"), [file[1:] for file in FILES],
                         ids=[file[0] for file in FILES])  # fmt: skip
def test_a_shape_is_told_from_the_rows(
    ending: str, write: Callable, row: dict, prepare: dict, ingest: dict, tmp_path: Path
) -> None:
    source = tmp_path / f"rows.{ending}"
    source.write_text(write([row] * 12))
    told = recognise({"ingest": {"source": str(source)}})
    assert (told.prepare, told.ingest, told.undecided, told.unread) == (prepare, ingest, "", "")


def project(folder: Path, rows: list[dict], models: str = "{}", more: str = "") -> None:
    (folder / "rows.jsonl").write_text(lines(rows))
    (folder / "params.yaml").write_text(
        f"bases:\n  tiny: {{folder: tiny, sha256: '{'0' * 64}', license: mit}}\n"
        f"datasets:\n  mine: {{ingest: {{source: rows.jsonl}}{more}}}\nmodels: {models}\n"
    )


MODEL = "{m: {parent: tiny, dataset: mine%s}}"


@pytest.mark.parametrize(
    ("row", "objective"),
    [
        ({"messages": TURNS}, "sft"),
        ({"prompt": "Tea?", "chosen": "Yes.", "rejected": "No."}, "dpo"),
        ({"text": "Tea is hot."}, "pretrain"),
    ],
)
def test_the_shape_and_the_objective_that_fits_it_are_written_and_said(
    row: dict, objective: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project(tmp_path, [row] * 3, MODEL % "")
    completion = complete()
    written = parse_yaml(completion.text, Path("params.yaml"))
    assert written["models"]["m"]["train"]["objective"] == {"kind": objective}
    assert any(line.startswith("params.yaml: wrote `prepare: {shape: ") for line in completion.lines)
    completion.write()
    assert complete().lines == ()


def test_a_shape_and_its_columns_are_written_beside_what_prepare_says_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project(tmp_path, [{"conversations": SHAREGPT}] * 3, more=", prepare: {test_share: 0.1}")
    written = parse_yaml(complete().text, Path("params.yaml"))["datasets"]["mine"]["prepare"]
    assert written == {"test_share": 0.1, "shape": "chat", "messages": "conversations"}


def test_a_value_that_is_no_number_keeps_nothing_from_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project(tmp_path, [{"messages": TURNS}] * 3, MODEL % ", train: {learning_rate: .nan}")
    assert parse_yaml(complete().text, Path("params.yaml"))["datasets"]["mine"]["prepare"] == {"shape": "chat"}


def test_columns_that_some_rows_lack_or_leave_null_are_optional(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    rows = [{"messages": TURNS, "n": None}, {"messages": TURNS, "n": "1", "tools": [TOOL]}]
    source.write_text(lines(rows))
    told = recognise({"ingest": {"source": str(source)}})
    assert told.ingest == {"json_columns": ["messages", "tools"], "optional_columns": ["n", "tools"]}
    taken, _ = read(Ingest.model_validate({"source": str(source), **told.ingest}), source)
    assert [(row["n"], row["tools"][:8]) for row in taken] == [("", ""), ("1", '[{"type"')]


def test_a_shape_that_is_named_gets_only_how_its_source_is_read(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text(lines([{"messages": TURNS, "label": True}]))
    told = recognise({"ingest": {"source": str(source)}, "prepare": {"shape": "chat"}})
    assert (told.prepare, told.ingest) == ({}, {"json_columns": ["messages"]})


@pytest.mark.parametrize(
    ("rows", "more", "words"),
    [
        (
            [{"text": "Tea", "label": "hot"}],
            "",
            "datasets.mine has no shape, and none can be inferred from its rows (`text`, `label`): write prepare: "
            "{shape: …} with the columns. There are: alpaca (an instruction, an input, an output); chat (",
        ),
        (
            [{"instruction": "a", "output": "b", "source": "c", "target": "d"}],
            "",
            "datasets.mine has no shape, and its rows (`instruction`, `output`, `source`, `target`) may be alpaca or "
            "pair: write prepare: {shape: alpaca} or prepare: {shape: pair}.",
        ),
        (
            [{"messages": TURNS}],
            ", prepare: {shape: chatt}",
            "datasets.mine.prepare.shape is 'chatt'; did you mean `chat`?",
        ),
        (
            [{"prompt": "a", "chosen": "b", "rejected": "c"}, {"prompt": TURNS[:1], "chosen": "b", "rejected": "c"}],
            "",
            "datasets.mine holds texts in some rows and lists or objects in others in `prompt`: write one form.",
        ),
        (
            [{"messages": TURNS}],
            ", prepare: {shape: chat, messages: mesages}",
            "datasets.mine.prepare reads `mesages`, which is not a column of the data; did you mean `messages`?",
        ),
        (
            [{"messages": TURNS}],
            ", prepare: {shape: chat, tools: functions}",
            "datasets.mine.prepare reads `functions`, which is not a column of the data; there are: ",
        ),
    ],
)
def test_what_cannot_be_told_is_one_sentence(
    rows: list[dict], more: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project(tmp_path, rows, more=more)
    before = Path("params.yaml").read_bytes()
    with pytest.raises(ParamsError) as refused:
        checks.check_file()
    assert str(refused.value).startswith(f"params.yaml: {words}")
    assert Path("params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("row", "objective", "words"),
    [
        ({"messages": TURNS}, "dpo", "dpo, which does not learn from rows of the shape chat (datasets.mine); use an "
         "objective that does (seq2seq, sft"),
        ({"text": "Tea is hot."}, "sft",
         "sft, which does not learn from rows of the shape text (datasets.mine); use an objective "
         "that does (pretrain), or give it a dataset of the shape alpaca or chat or infill or pair or table."),
    ],
)  # fmt: skip
def test_an_objective_that_does_not_eat_the_shape_is_refused(
    row: dict, objective: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project(tmp_path, [row] * 3, MODEL % f", train: {{objective: {{kind: {objective}}}}}")
    with pytest.raises(ParamsError) as refused:
        checks.check_file()
    assert str(refused.value).startswith(f"params.yaml: models.m.train.objective.kind is {words}")


def test_a_source_that_is_not_there_is_said_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    project(tmp_path, [{"messages": TURNS}], MODEL % "")
    Path("rows.jsonl").unlink()
    with pytest.raises(ParamsError, match="datasets.mine.ingest.source is 'rows.jsonl', which does not exist"):
        checks.check_file()


def test_the_classes_of_an_answer_are_labels_whatever_the_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dialogues = [
        [{**TURNS[0], "content": f"Is it {n}?"}, {**TURNS[1], "content": ["yes", "no"][n % 2]}] for n in range(8)
    ]
    project(tmp_path, [{"messages": turns} for turns in dialogues], MODEL % "")
    assert parse_yaml(complete().text, Path("params.yaml"))["models"]["m"]["evaluate"] == {"labels": ["answer"]}
