"""A base with an encoder beside its decoder gets a template that frames the one text which it reads, and is whole."""

from pathlib import Path

import pytest

from tasks.dialogues import chat
from tasks.inference import answers
from tasks.models import seq2seq
from tasks.stages.base import Base, base
from tests import sequences, tiny
from tests.tasks.test_base import refused

pytestmark = pytest.mark.slow  # each test loads a model or a tokenizer


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_a_base_with_an_encoder_reads_a_text_as_its_tokenizer_frames_it(kind, tmp_path):
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    source = sequences.make_base(tmp_path / "source", kind)
    framed = (source / "chat_template.jinja").read_text()
    (source / "chat_template.jinja").unlink()  # as those of others come
    base(Base(**tiny.base_row(source)), tmp_path / "weights")
    assert (tmp_path / "weights/chat_template.jinja").read_text() == framed
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "weights")
    turn = [{"role": "user", "content": "sort: a red boat"}]
    assert tokenizer.apply_chat_template(turn)["input_ids"] == tokenizer("sort: a red boat")["input_ids"]
    begins = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "weights").generation_config
    assert begins.decoder_start_token_id is not None
    assert begins.forced_bos_token_id == (tokenizer.bos_token_id if kind == "bart" else None)


def test_a_decoder_that_is_not_there_is_not_begun_as_noise(tmp_path):
    from safetensors.torch import load_file, save_file

    source = sequences.make_base(tmp_path / "source")
    file = source / "model.safetensors"
    kept = {name: value for name, value in load_file(file).items() if not name.startswith("decoder.block")}
    save_file(kept, file, metadata={"format": "pt"})
    assert "lacks weights of its decoder" in refused(tmp_path, "start as noise", **tiny.base_row(source))


def test_a_template_for_dialogues_is_refused_for_an_encoder(tmp_path):
    row = {**tiny.base_row(sequences.make_base(tmp_path / "source")), "chat_template": "chatml"}
    refused(tmp_path, "which reads a text as it is; leave chat_template out", **row)


def test_a_tokenizer_that_drops_the_joiner_is_refused(tmp_path):
    from tokenizers import Tokenizer, normalizers

    source = sequences.make_base(tmp_path / "source")
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.normalizer = normalizers.Replace("\u2060", "")
    tokenizer.save(str(source / "tokenizer.json"))
    refused(tmp_path, "takes a text for a special token even with a word joiner in it", **tiny.base_row(source))


def many_languages(folder: Path, kind: str) -> Path:
    """A tiny base of mBART's or NLLB's kind, with their own tokenizers over the letters."""
    import torch
    from transformers import (
        M2M100Config,
        M2M100ForConditionalGeneration,
        MBartConfig,
        MBartForConditionalGeneration,
        MBartTokenizer,
        NllbTokenizer,
    )

    start = ["<s>", "<pad>", "</s>", "<unk>"]
    letters = [(letter, -3.0) for letter in [*sequences.KNOWN, "\u2581"]]
    if kind == "mbart":
        codes = ["de_DE", "en_XX"]
        vocab = [*((token, 0.0) for token in start), *letters, *((code, 0.0) for code in codes), ("<mask>", 0.0)]
        tokenizer = MBartTokenizer(vocab=vocab)
        config = MBartConfig(vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1)
    else:
        vocab = {token: place for place, token in enumerate([*start, *(letter for letter, _ in letters)])}
        tokenizer = NllbTokenizer(vocab=vocab, merges=[])
        config = M2M100Config(vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1)
    for name in ("encoder_attention_heads", "decoder_attention_heads"):
        setattr(config, name, 2)
    config.encoder_ffn_dim = config.decoder_ffn_dim = 16
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = (MBartForConditionalGeneration if kind == "mbart" else M2M100ForConditionalGeneration)(config)
    made.generation_config.update(decoder_start_token_id=2, eos_token_id=2, pad_token_id=1)
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


LANGUAGES = {"mbart": ("en_XX", "de_DE"), "nllb": ("eng_Latn", "deu_Latn")}


@pytest.mark.parametrize("kind", LANGUAGES)
def test_a_base_of_many_languages_reads_one_and_writes_another(kind, tmp_path):
    source = many_languages(tmp_path / "source", kind)
    reads, writes = LANGUAGES[kind]
    base(Base(**tiny.base_row(source), src_lang=reads, tgt_lang=writes), tmp_path / "weights")
    tokenizer = chat.load_tokenizer(tmp_path / "weights")
    row = {"id": "1", "messages": [{"role": "user", "content": "a red boat"}], "answer": "ein Boot"}
    encoded = seq2seq.encode(tokenizer, row)
    sides = [encoded["input_ids"][: encoded["prompt_length"]], encoded["input_ids"][encoded["prompt_length"] :]]
    for ids, code in zip(sides, (reads, writes), strict=True):
        assert ids[-1 if kind == "mbart" else 0] == tokenizer.convert_tokens_to_ids(code)
    model = answers.load_body(tmp_path / "weights")
    (told,) = answers.answer(model, tokenizer, [{**row, "row": {}}], 1, 4, "parent").predictions
    target = tokenizer.convert_tokens_to_ids(writes)
    begins = model.generation_config
    if kind == "mbart":  # the code is the start token
        assert begins.decoder_start_token_id == target and begins.forced_bos_token_id is None
    else:
        assert begins.decoder_start_token_id == 2 and told["token_ids"][0] == target
    batch = seq2seq.collate([encoded], tokenizer.pad_token_id)
    assert told["nll"] == pytest.approx(model(**batch).loss.item() * batch["labels"].numel(), rel=0.02)


@pytest.mark.parametrize(
    ("kind", "named", "words"),
    [
        ("mbart", {}, "is multilingual: set src_lang and tgt_lang, codes of its tokenizer"),
        ("mbart", {"src_lang": "en_XX", "tgt_lang": "german"}, "tgt_lang is german, and its tokenizer has no such"),
        ("t5", {"src_lang": "en_XX", "tgt_lang": "de_DE"}, "has no language codes; leave them out"),
    ],
)
def test_languages_that_do_not_fit_the_base_are_refused(kind, named, words, tmp_path):
    make = sequences.make_base if kind == "t5" else many_languages
    refused(tmp_path, words, **tiny.base_row(make(tmp_path / "source", kind)), **named)
