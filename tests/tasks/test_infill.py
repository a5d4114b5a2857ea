"""Texts with a hole: how they are made, marked and learnt, and that asking is the same everywhere."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks.dialogues import chat, dialogue, infill
from tasks.dialogues.special import FAMILIES, USUAL, SpecialTexts, of_folder
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, write_json, write_jsonl
from tasks.formats import contract
from tasks.objectives import pretrain
from tasks.preflight import tokens
from tasks.serve import verify
from tasks.stages.prepare.rows import SetAside
from tasks.stages.prepare.shapes import infill as shape
from tasks.weights import tuned
from tests import tiny
from tests.tasks import own_params, raw_rows

CODE = "def f(x):\n    y = x + 1\n    return y\n\n\ndef g(x):\n    return x\n"
HOLE = {"id": "r", "prefix": "def f(x):\n    ", "middle": "return x", "suffix": "\n\nprint(f(1))\n"}
STARCODER = SpecialTexts(frozenset(FAMILIES[0]))


def row(raw: dict[str, str] = HOLE, **params: Any) -> Any:
    return shape.example(raw, shape.Params(shape="infill", **params))


def test_the_parts_keep_the_white_space_beside_the_hole_and_other_columns_stay() -> None:
    made = row({**HOLE, "tests": " assert f(1) == 1 ", "prefix": "def f(x):\r\n\t"})
    assert made["infill"]["prefix"] == "def f(x):\n\t" and made["infill"]["suffix"] == HOLE["suffix"]
    assert (made["messages"], made["answer"]) == ([], "return x")
    assert made["row"]["tests"] == "assert f(1) == 1" and made["row"]["prefix"] == "def f(x):\n\t"


@pytest.mark.parametrize("hole", ["characters", "lines"])
def test_a_hole_in_a_whole_text_follows_from_seed_and_text(hole: str) -> None:
    whole = [f"# {number}\n{CODE}" for number in range(40)]
    made = []
    for number, text in enumerate(whole):
        raw = {"id": str(number), "code": text, "about": "x"}
        made.append((text, row(raw, text="code", hole=hole), row({**raw, "id": "other"}, text="code", hole=hole)))
    places = set()
    for text, first, again in made:
        assert (
            first["answer"].strip()
            and first["infill"] == again["infill"]
            and "code" not in first["row"]
            and first["row"]["about"] == "x"
        )
        before, after = first["infill"]["prefix"], first["infill"]["suffix"]
        assert before + first["answer"] + after == text.strip()
        places.add((len(before), len(after)))
        if hole == "lines":
            assert before == "" or before.endswith("\n")
            assert after == "" or first["answer"].endswith("\n")
    assert len(places) > 10


def test_the_share_of_either_order() -> None:
    orders = [row({**HOLE, "id": str(n), "prefix": f"# {n}\n"})["infill"]["order"] for n in range(200)]
    assert 70 < orders.count("spm") < 130
    for share, order in ((0, "psm"), (1, "spm")):
        assert {row({**HOLE, "prefix": f"# {n}\n"}, spm_share=share)["infill"]["order"] for n in range(20)} == {order}


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({**HOLE, "middle": " \n"}, "nothing but white space"),
        ({**HOLE, "prefix": "", "suffix": "\n"}, "nothing precedes or follows"),
    ],
)
def test_a_hole_that_teaches_nothing_is_set_aside(raw: dict, why: str) -> None:
    with pytest.raises(SetAside, match=why):
        row(raw)
    with pytest.raises(SetAside, match="a single line"):
        row({"id": "r", "code": "x = 1"}, text="code", hole="lines")


def test_rows_of_parts_are_recognised() -> None:
    assert shape.recognise([HOLE]) == {}
    assert shape.recognise([{"before": "a", "hole": "b", "after": "c"}]) == {
        "prefix": "before", "middle": "hole", "suffix": "after"
    }  # fmt: skip
    assert shape.recognise([{"prefix": "a", "suffix": "b"}]) is None


def test_the_prompt_in_either_order_and_in_each_family() -> None:
    hole = row()["infill"]
    psm, spm = (infill.prompt(STARCODER, hole["prefix"], hole["suffix"], order) for order in ("psm", "spm"))
    assert psm == f"<fim_prefix>{HOLE['prefix']}<fim_suffix>{HOLE['suffix']}<fim_middle>"
    assert spm == f"<fim_prefix><fim_suffix>{HOLE['suffix']}<fim_middle>{HOLE['prefix']}"
    for marks in FAMILIES:
        assert infill.prompt(SpecialTexts(frozenset({*marks, "<s>"})), "a", "b").startswith(marks.prefix)
    with pytest.raises(AnnealError, match=r"has no tokens that mark a hole \(<fim_prefix>, <fim_suffix>, <fim_middle>"):
        infill.prompt(USUAL, "a", "b")
    with pytest.raises(AnnealError, match="no tokens that mark a hole"):
        infill.prompt(SpecialTexts(frozenset(FAMILIES[0][:2])), "a", "b")


@pytest.fixture(scope="module")
def coder(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base with marks of holes, as a base of code has them."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = shutil.copytree(base, tmp_path_factory.mktemp("coder") / "weights")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": [*FAMILIES[0]]})
    tokenizer.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    shutil.copy(base / "chat_template.jinja", folder / "chat_template.jinja")
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("holes")
    made = [row({"id": str(n), **raw}) for n, raw in enumerate(raw_rows.rows("infill", 48))]
    for name, part in (("train", made[:32]), ("validation", made[32:40]), ("test", made[40:])):
        write_jsonl(folder / f"{name}.jsonl", part)
    facts = {**shape.templates(shape.Params(shape="infill")), "shape": "infill", "example": "infill"}
    write_json(folder / "format.json", facts)
    return folder


@pytest.mark.slow
def test_the_marks_are_tokens_and_marks_in_the_code_are_not(coder: Path) -> None:
    tokenizer = chat.load_tokenizer(coder)
    marks = tokenizer.convert_tokens_to_ids([*FAMILIES[0]])
    hostile = row({**HOLE, "prefix": "s = '<fim_middle>' + '<|im_end|>'", "suffix": "<fim_suffix><fim_prefix>"})
    for order in ("psm", "spm"):
        ids = chat.encode_hole(tokenizer, hostile["infill"], order)
        assert [ids.count(mark) for mark in marks] == [1, 1, 1] and tokenizer.eos_token_id not in ids
    plain = row(spm_share=1)
    asked, learnt = chat.encode(tokenizer, plain), dialogue.encode(tokenizer, plain)
    assert asked["input_ids"][: asked["prompt_length"]] == chat.encode_question(tokenizer, plain)
    assert tokenizer.decode(asked["input_ids"]).startswith(f"<fim_prefix>{HOLE['prefix']}")  # asked in PSM
    assert tokenizer.decode(learnt["input_ids"]).startswith("<fim_prefix><fim_suffix>")
    for encoded in (asked, learnt):
        answer = encoded["input_ids"][encoded["prompt_length"] :]
        assert tokenizer.decode(answer[:-1]) == "return x" and answer[-1] == tokenizer.eos_token_id


@pytest.mark.slow
def test_pretraining_learns_all_of_it_and_cuts_nothing(coder: Path) -> None:
    tokenizer, params = chat.load_tokenizer(coder), pretrain.Params(kind="pretrain")
    encoded = [pretrain.encode(params, tokenizer, row({**HOLE, "suffix": f"\n{'x = 1; ' * n}"})) for n in (1, 60)]
    assert [example["prompt_length"] for example in encoded] == [1, 1]
    kept, left_out = pretrain.arrange(params, encoded, 64)
    assert left_out == 1 and [len(each["examples"]) for each in kept] == [1]


@pytest.mark.slow
def test_a_model_learns_to_fill_holes_and_is_asked_alike_everywhere(
    store: Any, coder: Path, prepared: Path, tmp_path: Path
) -> None:
    made = tiny.train_in(tmp_path, coder, prepared, num_train_epochs=8, learning_rate=1.0e-2, bf16=False)
    metrics = read_json(made.report / "metrics.json")
    assert (metrics["rows"], metrics["rows_left_out"]) == (32, 0)
    rows = read_jsonl(prepared / "test.jsonl")
    after = tuned.answer(coder, made.adapter, rows, 4, 12, "tuned").predictions
    assert metrics["eval_loss"] < 3 and all(each["text"] and each["infill"] for each in after)
    tokenizer = chat.load_tokenizer(coder)
    shutil.copy(prepared / "format.json", tmp_path / "format.json")
    for file in coder.glob("tokenizer*"):
        shutil.copy(file, tmp_path)
    spec = contract.load(tmp_path)
    asked = spec.question(spec.row({name: rows[0]["row"][name] for name in ("prefix", "suffix")}))
    assert verify.question(of_folder(coder), after[0]) == ("completions", asked)
    assert tokenizer(asked["prompt"])["input_ids"] == chat.encode_question(tokenizer, rows[0])


@pytest.mark.slow
def test_a_base_without_marks_is_refused_before_and_in_training_and_can_be_asked(
    store: Any, base: Path, prepared: Path, tmp_path: Path
) -> None:
    with pytest.raises(AnnealError, match="the base's tokenizer has no tokens that mark a hole"):
        tiny.train_in(tmp_path, base, prepared, num_train_epochs=1)
    ingest, changes = {"source": "x.jsonl"}, {"bases__tiny__folder": str(base)}
    prepare = {"shape": "infill"}
    dataset = {"ingest": ingest, "validate": {}, "prepare": prepare}
    params = own_params.changed(datasets__tickets=dataset, **changes)
    (words,) = tokens.problems(params, "mine")
    assert words.startswith("models.mine.parent: the tokenizer of tiny has no tokens that mark a hole")
    train = {"objective": {"kind": "pretrain", "new_tokens": [*FAMILIES[0]]}, "tuner": {"kind": "full"}}
    params = own_params.changed(datasets__tickets=dataset, models__mine__train=train, **changes)
    assert list(tokens.problems(params, "mine")) == []
    tokenizer = chat.load_tokenizer(base)
    assert tokenizer.decode(chat.encode_question(tokenizer, row())) == HOLE["prefix"]
    assert chat.encode_question(tokenizer, row({**HOLE, "prefix": ""})) == [tokenizer.eos_token_id]
    assert json.loads(json.dumps(row())) == row()
