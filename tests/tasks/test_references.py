"""What a reference thinks of answers is computed once, as a training computes it: the first loss of dpo is ln 2."""

import csv
import math
from pathlib import Path

import pytest
import torch

from tasks.dataset.encoded import left_padded
from tasks.dialogues import chat
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, write_jsonl
from tasks.models import lm
from tasks.stages.reference import Reference, reference, with_mates
from tests import encoders
from tests.tasks import matrix

pytestmark = pytest.mark.slow  # torch is loaded


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> dict[str, Path]:
    """Prepared rows of both shapes, without a reference."""
    place = tmp_path_factory.mktemp("plain")
    return {kind: matrix.prepared_without_reference(place / kind, kind) for kind in ("dpo", "kto")}


@pytest.fixture(scope="module", params=[True, False], ids=["bf16 where there is", "fp32"])
def compared(request, base, plain, tmp_path_factory) -> tuple[bool, Path]:
    """Pairs compared with their base, and in which precision."""
    place = tmp_path_factory.mktemp("compared")
    reference(
        Reference(dataset="plain", model="tiny", bf16=request.param), plain["dpo"], base, place / "rows", place / "r"
    )
    return request.param, place / "rows"


def rated(*rows: tuple[str, str]) -> list[dict]:
    """Rows of a question and an answer."""
    turns = [([{"role": "user", "content": question}], answer) for question, answer in rows]
    return [
        {"id": str(n), "messages": turn, "answer": answer, "rating": True} for n, (turn, answer) in enumerate(turns)
    ]


def test_the_rows_get_the_log_probabilities_of_both_answers_and_all_else_goes_through(plain, base, tmp_path):
    report = tmp_path / "reference.json"
    reference(Reference(dataset="plain", model="tiny", bf16=False), plain["dpo"], base, tmp_path / "rows", report)
    before, after = (read_jsonl(folder / "train.jsonl") for folder in (plain["dpo"], tmp_path / "rows"))
    assert [{key: row[key] for key in row if key != "reference"} for row in after] == before
    for name in ("test.jsonl", "format.json"):
        assert (tmp_path / "rows" / name).read_bytes() == (plain["dpo"] / name).read_bytes()
    model = lm.parent(base, {"dtype": torch.float32, "attn_implementation": "eager"}).eval()
    tokenizer = chat.load_tokenizer(base)
    for row in after[:5]:
        both = [chat.encode(tokenizer, {**row, "answer": answer}) for answer in (row["answer"], row["rejected"])]
        with torch.no_grad():
            sums = [
                lm.answer_log_probabilities(model, left_padded([one], tokenizer.pad_token_id)).item() for one in both
            ]
        assert row["reference"] == pytest.approx(sums, abs=1e-3)
    figures = read_json(report)
    assert figures["rows"] == len(after) and figures["chosen"] < 0 and 0 <= figures["prefers_chosen"] <= 1


def test_it_says_the_same_bytes_each_time_whatever_the_order_of_the_rows(plain, base, tmp_path):
    turned = tmp_path / "turned"
    for name in matrix.ROWS:
        write_jsonl(turned / f"{name}.jsonl", read_jsonl(plain["kto"] / f"{name}.jsonl")[::-1])
    found = {}
    for name, folder in (("first", plain["kto"]), ("again", plain["kto"]), ("turned", turned)):
        reference(Reference(dataset="plain", model="tiny"), folder, base, tmp_path / name, tmp_path / "report.json")
        found[name] = (tmp_path / name / "train.jsonl").read_bytes()
    assert found["first"] == found["again"]
    one, other = (
        {row["id"]: row for row in read_jsonl(tmp_path / name / "train.jsonl")} for name in ("first", "turned")
    )
    assert one == other


def test_a_mate_answers_another_prompt_and_is_about_as_long():
    rows = rated(("a", "1"), ("a", "22"), ("b", "333"), ("c", "4444"), ("c", "55555"))
    mates = [row["mate"] for row in with_mates(rows, [])]
    assert mates == ["333", "333", "4444", "1", "1"]
    assert with_mates([{"rejected": "x"}], []) == [{"rejected": "x"}]


def test_a_mate_comes_from_training_where_all_validation_rows_ask_the_same():
    rows, others = rated(("a", "1"), ("a", "22")), rated(("a", "no"), ("b", "yes"))
    assert [row["mate"] for row in with_mates(rows, others)] == ["yes", "yes"]
    assert [row["mate"] for row in with_mates(rows[:1], rows)] == ["1"]  # there is no other prompt at all


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_the_first_loss_is_ln_2_and_falls(kind, compared, base, tmp_path):
    is_narrow, rows = compared
    settings = {"learning_rate": 1.0e-3, "num_train_epochs": 3, "max_length": 200, "bf16": is_narrow}
    train = {**matrix.settings("dpo", kind, **settings), "tuner": {"kind": kind}}
    made = matrix.run(tmp_path, base, rows, train)
    with (made.report / "loss.csv").open() as file:
        points = [*csv.DictReader(file)]
    losses = [float(point["loss"]) for point in points if point["loss"]]
    # Other passes than LoRA's own round otherwise in bf16, so that preflight writes their reference in fp32.
    assert losses[0] == pytest.approx(math.log(2), abs=1e-3 if kind == "lora" or not is_narrow else 2e-2)
    assert losses[-1] < losses[0] - 0.1
    last = [point for point in points if point["eval_rewards/accuracies"]][-1]
    assert float(last["eval_rewards/margins"]) > 0 and 0.5 < float(last["eval_rewards/accuracies"]) <= 1
    figures = read_json(made.report / "metrics.json")
    assert figures["eval_rewards/accuracies"] > 0.5 and float(last["eval_logps/chosen"]) < 0


def test_the_first_loss_of_a_quantised_parent_is_ln_2_beside_a_reference_that_is_quantised_alike(plain, base, tmp_path):
    params = Reference(dataset="plain", model="tiny", bf16=False, quantization="nf4")
    reference(params, plain["dpo"], base, tmp_path / "rows", tmp_path / "report.json")
    made = matrix.run(tmp_path, base, tmp_path / "rows", matrix.settings("dpo", "qlora", num_train_epochs=1))
    with (made.report / "loss.csv").open() as file:
        assert float(next(csv.DictReader(file))["loss"]) == pytest.approx(math.log(2), abs=1e-3)


def test_a_reference_that_is_off_would_be_seen(compared, base, tmp_path):
    """So it is the stored values that count (trl #1962: a loss that stays at ln 2, as they were ignored)."""
    is_narrow, rows = compared
    for name in ("train", "validation"):
        shifted = [
            {**row, "reference": [row["reference"][0] - 4, row["reference"][1]]}
            for row in read_jsonl(rows / f"{name}.jsonl")
        ]
        write_jsonl(tmp_path / "rows" / f"{name}.jsonl", shifted)
    train = matrix.settings("dpo", "lora", learning_rate=1.0e-5, num_train_epochs=1, bf16=is_narrow)
    made = matrix.run(tmp_path / "made", base, tmp_path / "rows", train)
    with (made.report / "loss.csv").open() as file:
        first = float(next(csv.DictReader(file))["loss"])
    assert first == pytest.approx(-math.log(1 / (1 + math.exp(-0.4))), abs=1e-3)


def test_what_cannot_be_compared_is_refused_in_a_sentence(plain, base, tmp_path):
    def refused(folder: Path, weights: Path = base) -> str:
        with pytest.raises(AnnealError) as error:
            reference(Reference(dataset="mine", model="tiny"), folder, weights, tmp_path / "out", tmp_path / "report")
        assert not (tmp_path / "out").exists()
        return str(error.value)

    alike, chats = tmp_path / "alike", tmp_path / "chats"
    for name in matrix.ROWS:
        rows = read_jsonl(plain["kto"] / f"{name}.jsonl")
        write_jsonl(alike / f"{name}.jsonl", [{**row, "rating": True} for row in rows])
        write_jsonl(chats / f"{name}.jsonl", [{key: row[key] for key in row if key != "rating"} for row in rows])
    assert "training rows are rated good, and kto learns what is better from both ratings" in refused(alike)
    assert "of mine has neither a rejected answer nor a rating" in refused(chats)
    encoder = encoders.make_base(tmp_path / "encoder")
    assert "references names tiny for mine, and it does not write texts" in refused(plain["dpo"], encoder)


def test_progress_is_shown(plain, base, tmp_path, capsys):
    reference(Reference(dataset="plain", model="tiny"), plain["dpo"], base, tmp_path / "rows", tmp_path / "report.json")
    assert "reference: 36/36 rows, " in capsys.readouterr().err
