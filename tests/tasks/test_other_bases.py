"""Bases of other makers: each oddity works and is the same in training, evaluation and serving, or is refused in one
sentence.
"""

import json
import shutil
from pathlib import Path

import pytest

from tasks.dataset.encoded import left_padded
from tasks.dialogues.chat import encode, encode_prompt, load_tokenizer
from tasks.errors import AnnealError
from tasks.files import read_json, sha256
from tasks.weights.tuned import answer
from tests import tiny
from tests.tasks.other_makers import ROW, change, made, published, with_words

pytestmark = pytest.mark.slow  # each test loads a model or a tokenizer


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return published(tmp_path / "source")


def test_a_base_without_a_padding_token_pads_and_answers_as_with_one(source, tmp_path):
    rows = tiny.prepared_rows(0, 4)
    with_one = answer(made(source), None, rows, 4, 8, "with").predictions
    change(source / "tokenizer_config.json", pad_token=None)
    change(source / "config.json", pad_token_id=None)
    change(source / "generation_config.json", pad_token_id=None)
    weights = made(source)
    assert "pad_token" not in read_json(weights / "tokenizer_config.json")  # what is served stays as its makers made it
    tokenizer = load_tokenizer(weights)
    assert left_padded([encode(tokenizer, row) for row in rows], tokenizer.pad_token_id)["input_ids"].shape[0] == 4
    without = answer(weights, None, rows, 4, 8, "without").predictions
    assert [row["token_ids"] for row in without] == [row["token_ids"] for row in with_one]


def test_a_base_that_names_no_end_of_turn_is_refused(source):
    change(source / "tokenizer_config.json", eos_token=None, pad_token=None)
    with pytest.raises(AnnealError, match="names no eos_token, so no answer would ever end"):
        made(source)


def test_a_tokenizer_that_does_not_see_the_joiner_is_refused(source):
    tokens = read_json(source / "tokenizer.json")
    tokens["normalizer"] = {"type": "Replace", "pattern": {"String": "\u2060"}, "content": ""}
    for token in tokens["added_tokens"]:
        token["normalized"] = True
    (source / "tokenizer.json").write_text(json.dumps(tokens))
    with pytest.raises(AnnealError, match="takes a text for a special token even with a word joiner in it"):
        made(source)


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

    from tasks.weights.merge import merged_model

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

    from tasks.stages.package import Package, package

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
    assert card.data.base_model == "first" and "`first`, tuned (lora" in card.text and "anneal/tiny" not in card.text
    assert sha256(parent / "model.safetensors") in card.text and card.data.license == "apache-2.0"
    assert read_json(tmp_path / "weights" / "source.json")["parent"] == "first"
