"""Samples are drawn as the model's probabilities say, the same for the same seed whatever is beside them, and none is
lost to a kill.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tasks.dialogues.chat import encode_question
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, write_json, write_jsonl
from tasks.inference import answers, sampling, writing
from tasks.inference.sampling import Draw, seed_of
from tasks.stages import sample as stage
from tasks.stages.sample import JOURNAL, Sample, chosen, sample
from tests import tiny
from tests.house.project import ROOT

pytestmark = pytest.mark.slow  # torch is loaded

ASKED = {"model": "tiny", "dataset": "things", "split": "train", "max_new_tokens": 6, "per_device_eval_batch_size": 8}


@pytest.fixture
def place(base: Path, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    for module in (answers,):
        monkeypatch.setattr(module, "compute_dtype", lambda: torch.float32)  # the rounding of a batch tips no draw
    return SimpleNamespace(weights=base, prepared=few, root=tmp_path)


def drawn(place: SimpleNamespace, name: str = "out", **changes: Any) -> list[dict]:
    params, root = Sample(**{**ASKED, **changes}), place.root
    sample(params, place.weights, place.prepared, root / "journal", root / name, root / "report")
    return read_jsonl(root / name / "samples.jsonl")


def texts(rows: list[dict]) -> list[list[str]]:
    return [[answer["text"] for answer in row["answers"]] for row in rows]


def listed(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, what: Callable) -> list:
    """What is noted of each call of a function of `module` from now on."""
    notes, plain = [], getattr(module, name)

    def noting(*given: Any) -> Any:
        notes.append(what(*given))
        return plain(*given)

    monkeypatch.setattr(module, name, noting)
    return notes


def test_rows_keep_what_they_are_and_answers_say_how_they_were_drawn(place: SimpleNamespace) -> None:
    rows = drawn(place, answers=3, temperatures=[0.0, 1.0, 2.0])
    prepared = read_jsonl(place.prepared / "train.jsonl")
    assert [{key: value for key, value in row.items() if key != "answers"} for row in rows] == prepared
    assert [answer["temperature"] for answer in rows[0]["answers"]] == [0.0, 1.0, 2.0]
    assert all(answer["tokens"] <= 6 for row in rows for answer in row["answers"])
    figures = read_json(place.root / "report" / "sample.json")
    assert figures["rows"] == len(prepared) and figures["answers"] == 3 * len(prepared)
    assert figures["distinct"] > 0.9 and 0 <= figures["cut_off"] <= 1
    assert not list((place.root / "journal").iterdir())


def test_the_answer_at_temperature_0_is_the_greedy_one(place: SimpleNamespace, tokenizer: Any) -> None:
    rows = drawn(place, answers=2, temperatures=[0.0, 3.0])
    greedy = answers.answer(answers.load_body(place.weights), tokenizer, rows, 4, 6, "greedy")
    assert [row[0] for row in texts(rows)] == [prediction["text"] for prediction in greedy.predictions]
    assert [row[1] for row in texts(rows)] != [prediction["text"] for prediction in greedy.predictions]


def test_an_answer_depends_on_seed_row_and_number_alone(place: SimpleNamespace) -> None:
    rows = drawn(place, answers=2)
    again = drawn(place, answers=2, per_device_eval_batch_size=3)
    assert texts(again) == texts(rows)  # other groups
    more = drawn(place, answers=4)
    assert [row[:2] for row in texts(more)] == texts(rows)
    by_id = {row["id"]: texts([row]) for row in rows}
    assert all(texts([row]) == by_id[row["id"]] for row in drawn(place, answers=2, rows=5))
    assert texts(drawn(place, answers=2, seed=1)) != texts(rows)


def test_transformers_own_generation_draws_the_same(place: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = drawn(place, answers=3, temperatures=[0.0, 1.0, 1.5])
    monkeypatch.setattr(sampling, "fits_one_pass", lambda model, rows: False)
    assert texts(drawn(place, answers=3, temperatures=[0.0, 1.0, 1.5])) == texts(rows)


def test_a_prompt_is_read_once_for_all_its_answers(place: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    read = listed(monkeypatch, writing.Group, "read", lambda group, part, made: len(part))
    rows = drawn(place, answers=5)
    assert sum(read) == len(rows)


def test_a_beginning_that_is_given_is_part_of_the_answer(place: SimpleNamespace, tmp_path: Path) -> None:
    rows = read_jsonl(place.prepared / "train.jsonl")
    given = [{**row, "given": row["answer"][:20], "rest": row["answer"][20:]} for row in rows]
    write_jsonl(tmp_path / "cascade" / "train.jsonl", given)
    place.prepared = tmp_path / "cascade"
    for row in drawn(place, answers=2):
        assert all(answer["text"].startswith(row["given"]) for answer in row["answers"])


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, -50.0, 1.5])
    count = 20_000
    for heat in (0.5, 1.0, 2.0):
        draw = Draw([heat] * 10, [seed_of(7, f"row {place}", 0) for place in range(10)], count)
        tokens = [token for step in range(count // 10) for token in draw(logits.repeat(10, 1), range(10), step)]
        expected = (logits / heat).softmax(-1)
        shares = Counter(tokens)
        for token, share in enumerate(expected.tolist()):
            assert shares[token] / count == pytest.approx(share, abs=0.012)  # three standard errors


def test_what_is_impossible_is_never_drawn() -> None:
    draw = Draw([1.0], [0], 2)
    logits = torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]])
    for number in (0.0, 0.5, 1.0):  # the ends of the interval included
        draw.numbers[0] = [number, number]
        assert draw(logits, [0], 0)[0] in (1, 2)


def test_first_rows_are_no_first_letters_and_more_rows_include_them(few: Path) -> None:
    rows = read_jsonl(few / "train.jsonl")
    five, eight = (chosen(Sample(**ASKED, rows=count), rows) for count in (5, 8))
    assert [row for row in rows if row in five] == five and len(five) == 5  # in the order of the split
    assert all(row in eight for row in five) and five != rows[:5]
    assert chosen(Sample(**ASKED, rows=5, seed=1), rows) != five
    with pytest.raises(AnnealError, match="rows is 99, and the train split of things has 16; lower it"):
        chosen(Sample(**ASKED, rows=99), rows)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"answers": 3, "temperatures": [0.0]}, "give 3 of the 3 answers temperature 0, at which all are the same"),
        ({"answers": 3, "temperatures": [0.0, 1.0]}, "give 2 of the 3 answers temperature 0"),
        ({"answers": 1, "temperatures": [0.5, 1.0]}, "names 2, and answers is 1, so the last are never used"),
    ],
)
def test_temperatures_that_make_no_sense_are_refused(changes: dict, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Sample(**{**ASKED, **changes})


def test_weights_that_could_not_be_merged_are_refused(place: SimpleNamespace, tmp_path: Path) -> None:
    write_json(tmp_path / "weights" / "source.json", {"parent": "tiny", "not_merged": {"kind": "prefix"}})
    place.weights = tmp_path / "weights"
    with pytest.raises(AnnealError, match=r"what tuner.kind prefix learnt in tiny cannot be merged, so .* no weights"):
        drawn(place)


SLOWLY = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import torch
from tasks import journal
from tasks.inference import answers
from tasks.stages.sample import Sample, sample
answers.compute_dtype = lambda: torch.float32
keep = journal.Journal.keep
def slowly(self, line):
    keep(self, line)
    time.sleep(0.5)
journal.Journal.keep = slowly
weights, prepared, root = map(Path, sys.argv[2:5])
sample(Sample.model_validate_json(sys.argv[5]), weights, prepared, root / "journal", root / "out", root / "report")
"""


def test_a_killed_run_goes_on_where_it_was_and_ends_as_an_unbroken_one(
    place: SimpleNamespace, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = Sample(**ASKED, answers=2, temperatures=[1.0, 1.5])
    whole = texts(drawn(place, "whole", answers=2, temperatures=[1.0, 1.5]))
    words = [sys.executable, "-c", SLOWLY, str(ROOT), str(place.weights), str(place.prepared), str(place.root)]
    run = subprocess.Popen([*words, params.model_dump_json()], stderr=subprocess.DEVNULL, env=dict(os.environ))
    journal = place.root / "journal" / JOURNAL
    deadline = time.monotonic() + 60
    while not journal.exists() or len(journal.read_bytes().splitlines()) < 3:
        assert run.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not (place.root / "out").exists()
    journal.write_bytes(journal.read_bytes() + b"[[3, [[[1, 2")  # a line that was being written
    before = len(journal.read_bytes().splitlines()) - 2
    asked = listed(monkeypatch, writing, "Group", lambda reader, rows, most: len(rows))
    assert texts(drawn(place, answers=2, temperatures=[1.0, 1.5])) == whole
    known = int(capsys.readouterr().err.split(" answers of an earlier run are kept")[0].rpartition(" ")[2])
    assert known >= 2 * before and sum(asked) == 16 - known // 2  # nothing that was kept is written again


def test_a_journal_of_other_settings_or_weights_is_not_used(place: SimpleNamespace, tmp_path: Path) -> None:
    rows = read_jsonl(place.prepared / "train.jsonl")
    key = stage._key(Sample(**ASKED), place.weights, rows)
    assert key == stage._key(Sample(**ASKED), place.weights, rows)
    others = [
        stage._key(Sample(**ASKED, seed=7), place.weights, rows),
        stage._key(Sample(**ASKED), tiny.make_base(tmp_path / "other").parent, rows),
        stage._key(Sample(**ASKED), place.weights, rows[1:]),
    ]
    assert len({key, *others}) == 4


def test_the_prompt_is_the_row_s_own(place: SimpleNamespace, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = listed(monkeypatch, writing, "write", lambda model, rows, *_: [row.prompt for row in rows])
    rows = drawn(place, answers=2)
    assert asked == [[encode_question(tokenizer, row) for row in rows]]
