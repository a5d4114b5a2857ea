"""Texts become tokens: the embedding grows and learns, and what comes after reads and writes the saved tokenizer."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks import kinds
from tasks.dialogues.chat import encode, encode_text, load_tokenizer
from tasks.errors import ParamsError
from tasks.files import read_json, read_jsonl, sha256, write_jsonl
from tasks.models import vocabulary
from tasks.preflight import pairs, tokens
from tasks.section import parse
from tasks.stages.train.params import Train
from tasks.weights import tuned
from tests import texts, tiny
from tests.sentences import Says
from tests.tasks import matrix, own_params
from tests.tasks.matrix_checks import package

NEW = ["Größenfilter", "thermo-couple K"]  # a tokenizer of bytes writes the letters of the first as bytes
PRETRAIN: dict[str, Any] = {
    "objective": {"kind": "pretrain", "new_tokens": NEW},
    "tuner": {"kind": "full"},
    "learning_rate": 3.0e-3,
    "num_train_epochs": 2,
    "max_length": 64,
    "bf16": False,
}


def with_terms(rows: list[dict]) -> list[dict]:
    return [
        {**row, "answer": f"{row['answer']} The {NEW[place % 2]} is red, the {NEW[0]} is blue."}
        for place, row in enumerate(rows)
    ]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = texts.write_prepared(tmp_path_factory.mktemp("terms"), 24)
    for name in ("train", "validation", "test"):
        write_jsonl(folder / f"{name}.jsonl", with_terms(read_jsonl(folder / f"{name}.jsonl")))
    return folder


@pytest.fixture(scope="module")
def made(base: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """What was trained with new tokens, and its package."""
    place = tmp_path_factory.mktemp("grown")
    made = tiny.train_in(place, base, prepared, **PRETRAIN)
    package(base, made.adapter, prepared, place)
    made.place = place
    return made


def refusal(new: object) -> str:
    with pytest.raises(ParamsError) as stopped:
        parse(Train, {**PRETRAIN, "objective": {"kind": "pretrain", "new_tokens": new}}, "models.m.train")
    return str(stopped.value).removeprefix("params.yaml: models.m.train.objective.")


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (["a b", ""], "new_tokens: text 2 of them is empty; remove it."),
        (["\u200b \u2060"], "new_tokens: text 1 of them is empty; remove it."),
        (["ab", "cd", "ab"], "new_tokens: 'ab' is listed twice; remove one."),
        (["<|user|>"], "new_tokens: '<|user|>' looks like a turn marker, which text must not contain; remove it."),
        (["x</s>"], "new_tokens: 'x</s>' looks like a turn marker, which text must not contain; remove it."),
        (["[INST]"], "new_tokens: '[INST]' looks like a turn marker, which text must not contain; remove it."),
        ([3], "new_tokens.0 is 3; it should be a valid string."),
        ("ab", "new_tokens is 'ab'; it should be a valid list (strings that become tokens)."),
    ],
)
def test_what_can_be_no_token_is_refused_in_a_sentence(new: object, words: str) -> None:
    assert refusal(new) == words


@pytest.mark.parametrize("tuner", [kind for kind in kinds.names("tasks.tuners") if kind != "full"])
def test_tuners_that_do_not_train_the_embedding_are_refused_before_work(tuner: str) -> None:
    objective = {"kind": "pretrain", "new_tokens": NEW}
    params = own_params.changed(models__mine__train={"objective": objective, "tuner": {"kind": tuner}})
    words = f"models.mine.train.objective.new_tokens adds tokens, and tuner.kind {tuner} does not train the embedding"
    assert any(said.startswith(words) and said.endswith("; use full.") for said in pairs.problems(params, "mine"))
    none = own_params.changed(models__mine__train={"objective": {"kind": "pretrain"}, "tuner": {"kind": tuner}})
    assert not any("new_tokens" in said for said in pairs.problems(none, "mine"))


def test_rows_that_would_stay_frozen_are_refused_before_work() -> None:
    train = {"objective": PRETRAIN["objective"], "tuner": {"kind": "full", "gradual_unfreezing": True}}
    (said,) = pairs.problems(own_params.changed(models__mine__train=train), "mine")
    assert said.endswith("which tuner.gradual_unfreezing leaves frozen longest; remove one of the two.")
    learns = {**train, "tuner": {"kind": "full", "layer_decay": 0.9}}
    assert not list(pairs.problems(own_params.changed(models__mine__train=learns), "mine"))


@pytest.mark.slow
def test_a_text_that_is_a_token_already_is_refused_before_work(base: Path) -> None:
    def said(new: list[str], parent: str = "tiny") -> list[str]:
        objective = {"kind": "pretrain", "new_tokens": new}
        train = {"objective": objective, "tuner": {"kind": "full"}}
        older = {
            **own_params.VALUE["models"]["mine"],
            "train": {**train, "objective": {**objective, "new_tokens": NEW}},
        }
        params = own_params.changed(
            bases__tiny__folder=str(base), models__older=older, models__mine__train=train, models__mine__parent=parent
        )
        return list(tokens.problems(params, "mine"))

    assert said(NEW) == []
    assert said(["red"]) == [Says("models.mine.train.objective.new_tokens names 'red'", "already a token", "remove it")]
    assert said([NEW[0]], "older") == [Says(f"new_tokens names {NEW[0]!r}", "older has made", "remove it")]


@pytest.mark.slow
@pytest.mark.parametrize("text", ["red boat <", "red\n<|im_", "so <|im_end|>", "two words<|"])
def test_a_text_that_would_eat_into_a_mark_of_turns_is_refused(base: Path, text: str) -> None:
    tokenizer = load_tokenizer(base)
    words = f"new_tokens names {text!r}, which would break the tokenizer's mark '<|"
    assert str(vocabulary.problem(tokenizer, [text])).startswith(words)


@pytest.mark.slow
@pytest.mark.parametrize("tied", [True, False])
def test_a_new_row_begins_as_the_mean_of_its_pieces_in_embedding_and_head(
    base: Path, tokenizer: Any, tied: bool
) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(base)
    config.tie_word_embeddings = tied
    model = AutoModelForCausalLM.from_config(config)
    before = model.get_input_embeddings().weight.detach().clone(), model.get_output_embeddings().weight.detach().clone()
    vocabulary.grow(model, base, NEW)
    after = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    assert (after[0] is after[1]) == tied and model.config.vocab_size == len(tokenizer) + 2
    for old, new in zip(before, after, strict=True):
        assert torch.equal(new[: len(old)], old) and new.shape[0] == len(old) + 2
        for place, text in enumerate(NEW):
            pieces = tokenizer(text, add_special_tokens=False)["input_ids"]
            assert len(pieces) > 1
            assert torch.allclose(new[len(old) + place], old[pieces].mean(0), atol=1e-6)


@pytest.mark.slow
def test_an_embedding_with_rows_to_spare_does_not_grow(base: Path, tokenizer: Any) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(base)
    config.vocab_size += 60
    model = AutoModelForCausalLM.from_config(config)
    vocabulary.grow(model, base, NEW)
    weight = model.get_input_embeddings().weight
    pieces = tokenizer(NEW[1], add_special_tokens=False)["input_ids"]
    assert len(weight) == config.vocab_size == len(tokenizer) + 60
    assert torch.allclose(weight[len(tokenizer) + 1], weight[pieces].mean(0), atol=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("store")
class TestTrained:
    """What was trained with new tokens."""

    def test_the_saved_tokenizer_reads_and_writes_each_text_as_one_token(
        self, made: SimpleNamespace, base: Path, tokenizer: Any
    ) -> None:
        for folder in (made.adapter, made.place / "adapter", made.place / "weights"):
            saved = load_tokenizer(folder)
            for place, text in enumerate(NEW):
                assert encode_text(saved, text) == [len(tokenizer) + place]
            words = f"Größe: a {NEW[0]}, ein {NEW[1]} für {NEW[0]}s."
            assert saved.decode(encode_text(saved, words)) == words
            assert encode(saved, tiny.prepared_rows(0, 1)[0]) == encode(tokenizer, tiny.prepared_rows(0, 1)[0])
            assert sha256(folder / "chat_template.jinja") == sha256(base / "chat_template.jinja")

    def test_the_new_rows_are_learnt(self, made: SimpleNamespace, base: Path, tokenizer: Any) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        trained = AutoModelForCausalLM.from_pretrained(made.adapter, dtype=torch.float32)
        begun = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        vocabulary.grow(begun, base, NEW)
        was, now = (model.get_input_embeddings().weight[len(tokenizer) :] for model in (begun, trained))
        assert was.shape == now.shape and ((was - now).abs().amax(1) > 1e-3).all()
        assert "Größenfilter" in (made.report / "xray.html").read_text()

    def test_it_is_asked_with_its_own_tokens_and_measured_in_those_of_its_parent(
        self, made: SimpleNamespace, base: Path, prepared: Path, tokenizer: Any
    ) -> None:
        rows = read_jsonl(prepared / "test.jsonl")
        ours, theirs = tuned.answer(base, made.adapter, rows, 4, 8, "t"), tuned.answer(base, None, rows, 4, 8, "p")
        own = load_tokenizer(made.adapter)
        for row, answer, parents in zip(rows, ours.predictions, theirs.predictions, strict=True):
            assert len(encode_text(own, row["answer"])) < len(encode_text(tokenizer, row["answer"]))
            assert answer["tokens"] == parents["tokens"] == len(encode_text(tokenizer, row["answer"]))
        assert sum(row["nll"] for row in ours.predictions) < sum(row["nll"] for row in theirs.predictions) / 2

    def test_the_package_and_a_child_stand_on_its_weights_and_tokens(
        self, made: SimpleNamespace, base: Path, prepared: Path, few: Path, tmp_path: Path
    ) -> None:
        rows = read_jsonl(prepared / "test.jsonl")
        weights = made.place / "weights"
        direct = tuned.answer(base, made.adapter, rows, 4, 8, "trained").predictions
        packaged = tuned.answer(weights, None, rows, 4, 8, "weights").predictions
        assert [row["text"] for row in packaged] == [row["text"] for row in direct]
        assert sum(row["nll"] for row in packaged) == pytest.approx(sum(row["nll"] for row in direct), rel=1e-5)
        assert sha256(weights / "model.safetensors") == sha256(made.adapter / "model.safetensors")
        child = tiny.train_in(tmp_path, weights, few, **matrix.settings("sft", "lora", num_train_epochs=1))
        assert read_json(child.report / "metrics.json")["steps"]
        answers = tuned.answer(weights, child.adapter, read_jsonl(few / "test.jsonl"), 4, 8, "child").predictions
        assert all(math.isfinite(row["nll"]) for row in answers)

    @pytest.mark.minutes  # a process of its own loads torch
    def test_a_killed_run_ends_with_the_bytes_of_an_unbroken_one(
        self, made: SimpleNamespace, base: Path, prepared: Path, tmp_path: Path
    ) -> None:
        matrix.killed(tmp_path, base, prepared, {**tiny.TRAIN, **PRETRAIN}, 4)
        again = matrix.run(tmp_path, base, prepared, PRETRAIN)
        assert sha256(again.adapter) == sha256(made.adapter)

    def test_a_token_that_no_training_text_holds_is_refused(self, base: Path, prepared: Path, tmp_path: Path) -> None:
        objective = {"kind": "pretrain", "new_tokens": [*NEW, "Nirgendwo"]}
        with pytest.raises(ParamsError, match="new_tokens names 'Nirgendwo', which no training text contains"):
            tiny.train_in(tmp_path, base, prepared, **{**PRETRAIN, "objective": objective})
        assert not (tmp_path / "trained").exists()
