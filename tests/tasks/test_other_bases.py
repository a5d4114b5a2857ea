"""Bases of other makers: each oddity works and is the same in training, evaluation and serving, or is refused in one
sentence.
"""

import json
import shutil
from pathlib import Path

import pytest

from tasks.answers import answer
from tasks.base import Base, base
from tasks.chat import check_template, collate, encode, encode_prompt, load_tokenizer
from tasks.errors import AnnealError
from tasks.files import read_json, sha256
from tests import tiny

pytestmark = pytest.mark.slow  # each test loads a model or a tokenizer

ROW = {
    "id": "1",
    "messages": [{"role": "system", "content": "Sort it."}, {"role": "user", "content": "a red apple"}],
    "answer": "red",
    "row": {},
}
PLAIN = {**ROW, "messages": ROW["messages"][1:]}
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
DATE = "{{ '<|im_start|>system\nToday is ' + strftime_now('%d %b %Y') + '<|im_end|>\n' }}"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The tiny base as somebody else publishes it."""
    folder = tiny.make_base(tmp_path / "source")
    (folder / "source.json").unlink()
    return folder


def change(file: Path, **values: object) -> None:
    """Set keys of a JSON file; None takes one out."""
    file.write_text(
        json.dumps({name: value for name, value in {**read_json(file), **values}.items() if value is not None})
    )


def made(source: Path) -> Path:
    """The weights of the base in `source`, by its stage."""
    base(Base(**tiny.base_row(source)), source.parent / "weights")
    return source.parent / "weights"


def with_words(source: Path, words: str) -> Path:
    """`source` with `words` before its chat template."""
    template = source / "chat_template.jinja"
    template.write_text(words + template.read_text())
    return source


def test_a_base_without_a_padding_token_pads_and_answers_as_with_one(source, tmp_path):
    rows = tiny.prepared_rows(0, 4)
    with_one = answer(made(source), None, rows, 4, 8, "with").predictions
    change(source / "tokenizer_config.json", pad_token=None)
    change(source / "config.json", pad_token_id=None)
    change(source / "generation_config.json", pad_token_id=None)
    weights = made(source)
    assert "pad_token" not in read_json(weights / "tokenizer_config.json")  # what is served stays as its makers made it
    tokenizer = load_tokenizer(weights)
    assert collate([encode(tokenizer, row) for row in rows], tokenizer.pad_token_id)["input_ids"].shape[0] == 4
    without = answer(weights, None, rows, 4, 8, "without").predictions
    assert [row["token_ids"] for row in without] == [row["token_ids"] for row in with_one]


def test_a_base_that_names_no_end_of_turn_is_refused(source):
    change(source / "tokenizer_config.json", eos_token=None, pad_token=None)
    with pytest.raises(AnnealError, match="names no eos_token, so no answer would ever end"):
        made(source)


def test_a_template_that_refuses_a_system_message_trains_without_one_and_says_so_of_one(source):
    tokenizer = load_tokenizer(made(with_words(source, NO_SYSTEM)))
    check_template(tokenizer, PLAIN)
    for work in (
        lambda: encode_prompt(tokenizer, ROW["messages"]),
        lambda: encode(tokenizer, ROW),
        lambda: check_template(tokenizer, ROW),
    ):
        with pytest.raises(
            AnnealError,
            match="takes no system message: leave out prepare.system and put the instruction into prepare.user "
            ".System role not supported",
        ):
            work()


@pytest.mark.parametrize(("words", "is_refused"), [(NO_SYSTEM, True), ("{{ no_such_function() }}", False), ("", False)])
def test_a_system_message_that_the_base_refuses_is_refused_before_any_work(source, words, is_refused):
    from tasks.params import Params
    from tasks.preflight import turns
    from tasks.section import parse

    with_words(source, words)
    rows = {
        "bases": {"theirs": tiny.base_row(source)},
        "datasets": {
            "mine": {
                "ingest": {"source": "mine.csv"},
                "validate": {},
                "prepare": {"system": "Sort it.", "user": "{{ thing }}", "answer": ["colour"]},
            }
        },
        "models": {
            "sorter": {
                "parent": "theirs",
                "dataset": "mine",
                "train": {},
                "predict": {},
                "evaluate": {},
                "package": {},
                "gate": {},
            }
        },
    }
    refused = (
        "datasets.mine.prepare.system is given, and theirs's chat template takes no system message: leave out "
        "prepare.system"
    )
    problems = list(turns.problems(parse(Params, rows, ""), "sorter"))
    assert bool(problems) == is_refused and all(problem.startswith(refused) for problem in problems)
    del rows["datasets"]["mine"]["prepare"]["system"]
    assert list(turns.problems(parse(Params, rows, ""), "sorter")) == []


def test_a_template_that_drops_a_system_message_is_refused_with_one(source):
    template = source / "chat_template.jinja"
    template.write_text(
        "{% set messages = messages | rejectattr('role', 'equalto', 'system') | list %}"
        + template.read_text().replace("You sort things by colour", "You sort")
    )
    tokenizer = load_tokenizer(made(source))
    check_template(tokenizer, PLAIN)
    with pytest.raises(AnnealError, match="takes no system message: leave out prepare.system"):
        check_template(tokenizer, ROW)


def test_a_template_that_cannot_do_without_a_system_message_is_taken(source):
    words = "{% if messages[0]['role'] != 'system' %}{{ raise_exception('Say who you are') }}{% endif %}"
    tokenizer = load_tokenizer(made(with_words(source, words)))
    check_template(tokenizer, ROW)
    with pytest.raises(AnnealError, match=r"refuses a dialogue of user \(Say who you are\)"):
        encode_prompt(tokenizer, PLAIN["messages"])


def test_a_tokenizer_that_does_not_see_the_joiner_is_refused(source):
    tokens = read_json(source / "tokenizer.json")
    tokens["normalizer"] = {"type": "Replace", "pattern": {"String": "\u2060"}, "content": ""}
    for token in tokens["added_tokens"]:
        token["normalized"] = True
    (source / "tokenizer.json").write_text(json.dumps(tokens))
    with pytest.raises(AnnealError, match="takes a text for a special token even with a word joiner in it"):
        made(source)


def test_a_template_that_wants_turns_in_another_order_is_refused_in_a_sentence(source):
    words = "{% if messages | length > 1 %}{{ raise_exception('One message only') }}{% endif %}"
    tokenizer = load_tokenizer(made(with_words(source, words)))
    with pytest.raises(AnnealError, match=r"refuses a dialogue of user, assistant \(One message only\)"):
        check_template(tokenizer, PLAIN)


def test_a_template_with_todays_date_is_refused_by_its_stage_and_before_training(source, tokenizer):
    with pytest.raises(AnnealError, match="writes today's date into each prompt.*fixed date in place of strftime_now"):
        made(with_words(source, DATE))
    assert not (source.parent / "weights").exists()
    dated = load_tokenizer(source)
    with pytest.raises(AnnealError, match="today's date"):
        check_template(dated, ROW)


def test_a_template_that_could_write_a_date_and_has_a_fixed_one_is_taken(source):
    fixed = (
        "{% set date = '26 Jul 2024' %}{% if date is not defined %}{% set date = strftime_now('%d %b %Y') %}{% endif %}"
    )
    check_template(load_tokenizer(made(with_words(source, fixed))), ROW)


ODD = {
    "a repetition penalty": {"repetition_penalty": 1.3},
    "a temperature": {"temperature": 0.6, "top_p": 0.9},
    "sampling": {"do_sample": True, "temperature": 0.7, "top_k": 20},
    "limits": {"max_length": 20, "min_new_tokens": 6, "no_repeat_ngram_size": 2},
    "forbidden tokens": {"suppress_tokens": [40, 41, 42], "bad_words_ids": [[43]]},
    "beams": {"num_beams": 4, "length_penalty": 2.0},
}


@pytest.mark.parametrize("kind", ODD)
def test_answers_are_greedy_whatever_the_generation_config_says(source, base, kind):
    rows = tiny.prepared_rows(0, 4)
    plain = answer(base, None, rows, 4, 12, "plain").predictions
    change(source / "generation_config.json", **ODD[kind])
    for weights in (source, made(source)):  # weights that an older version made are read the same way
        assert [row["token_ids"] for row in answer(weights, None, rows, 4, 12, kind).predictions] == [
            row["token_ids"] for row in plain
        ]
    assert read_json(source.parent / "weights" / "generation_config.json") == read_json(base / "generation_config.json")


def test_each_end_of_the_generation_config_ends_an_answer_as_in_vllm(source, base):
    rows = tiny.prepared_rows(0, 4)
    plain = answer(base, None, rows, 4, 12, "plain").predictions
    end = plain[0]["token_ids"][2]
    change(source / "generation_config.json", eos_token_id=[2, end])
    ended = answer(made(source), None, rows, 4, 12, "three ends").predictions
    assert ended[0]["finished"] and ended[0]["token_ids"] == plain[0]["token_ids"][: plain[0]["token_ids"].index(end)]
    for ours, whole in zip(ended, plain, strict=True):
        cut = whole["token_ids"].index(end) if end in whole["token_ids"] else None
        assert ours["token_ids"] == whole["token_ids"][:cut]


def test_the_beginning_of_a_text_is_marked_once_when_template_and_tokenizer_both_do(source):
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing

    whole = Tokenizer.from_file(str(source / "tokenizer.json"))
    whole.post_processor = TemplateProcessing(single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)])
    whole.save(str(source / "tokenizer.json"))
    tokenizer = load_tokenizer(made(with_words(source, "{{ '<|endoftext|>' }}")))
    assert tokenizer("a")["input_ids"][0] == 0
    assert encode(tokenizer, ROW)["input_ids"].count(0) == 1 and encode_prompt(tokenizer, ROW["messages"])[0] == 0


def test_a_base_whose_output_is_not_its_embedding_is_packaged_whole(source, store, tmp_path):
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    from tasks.merge import merged_model

    model = AutoModelForCausalLM.from_pretrained(source, tie_word_embeddings=False)
    with torch.no_grad():
        model.lm_head.weight.copy_(
            torch.randn(model.lm_head.weight.shape, generator=torch.Generator().manual_seed(1)) * 0.15
        )
    model.save_pretrained(source)
    weights = made(source)
    assert not read_json(weights / "config.json")["tie_word_embeddings"]
    prepared = tiny.write_prepared(tmp_path / "prepared", 16)
    trained = tiny.train_in(tmp_path / "run", weights, prepared, num_train_epochs=1)
    merged, divergence = merged_model(weights, trained.adapter, tiny.prepared_rows(0, 8), 0.05)
    merged.save_pretrained(tmp_path / "merged")
    tensors = load_file(tmp_path / "merged" / "model.safetensors")
    assert 0 <= divergence < 0.05 and "lm_head.weight" in tensors
    assert not torch.equal(tensors["lm_head.weight"], tensors["model.embed_tokens.weight"])


def test_tied_weights_are_written_once(base, packaged):
    from safetensors.torch import load_file

    names = load_file(packaged.weights / "model.safetensors").keys()
    assert names == load_file(base / "model.safetensors").keys() and "lm_head.weight" not in names


def test_the_card_of_a_stacked_model_names_its_own_parent(packaged, prepared, trained, evaluated, tmp_path):
    from huggingface_hub import ModelCard

    from tasks.package import Package, package

    reports = evaluated / "evaluate"
    parent = shutil.copytree(packaged.weights, tmp_path / "models" / "first" / "weights")
    stacked = (tmp_path / "adapter", tmp_path / "weights", tmp_path / "second.md")
    package(
        Package(title="Second", max_divergence=1.0),
        parent,
        trained.adapter,
        prepared,
        reports / "metrics.json",
        reports / "intervals.json",
        *stacked,
    )
    card = ModelCard.load(tmp_path / "second.md")
    assert (
        card.data.base_model == "first" and "A LoRA adapter of `first`" in card.text and "anneal/tiny" not in card.text
    )
    assert sha256(parent / "model.safetensors") in card.text and card.data.license == "apache-2.0"
    assert read_json(tmp_path / "weights" / "source.json")["parent"] == "first"
