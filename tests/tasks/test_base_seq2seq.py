"""A base with an encoder beside its decoder gets a template that frames the one text which it reads, and is whole."""

import pytest

from tasks.base import Base, base
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
    assert "lacks weights of its decoder" in refused(tmp_path, "begin as noise", **tiny.base_row(source))


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
