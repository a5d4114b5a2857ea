"""A tiny but real encoder-decoder (a T5 or a BART of 2 layers) in a folder, and the toy as sources and targets."""

import string
from pathlib import Path
from typing import Any, Literal

from tasks.dialogues.templates import single_text_template
from tasks.files import sha256, write_json, write_jsonl
from tasks.stages.prepare.shapes import pair
from tests import tiny

END = "</s>"
KNOWN = [*string.ascii_letters, *string.digits, *".,:;!?-'"]  # no brace, as in T5's vocabulary
PARAMS = pair.Params(shape="pair", user="sort: {{ source }}")
TRAIN = {
    "objective": {"kind": "seq2seq"},
    "tuner": {"kind": "full"},
    "learning_rate": 1.0e-3,
    "num_train_epochs": 12,
    "per_device_train_batch_size": 8,
    "max_length": 64,
    "bf16": False,
    "early_stopping_patience": 12,
}


def make_base(folder: Path, kind: Literal["t5", "bart"] = "t5") -> Path:
    """Write `folder/` as the stage `base` would: safetensors in fp32, tokenizer, template, source.json; returns it."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(kind)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = (_t5 if kind == "t5" else _bart)(len(tokenizer))
    model.generation_config.forced_bos_token_id = 3 if kind == "bart" else None
    model.save_pretrained(folder)
    tokenizer.chat_template = single_text_template(tokenizer)
    tokenizer.save_pretrained(folder)
    source = {"folder": "tests/sequences", "license": "apache-2.0", "card_name": f"anneal/tiny-{kind}"}
    weights = sha256(folder / "model.safetensors")
    hashes = {"weights_sha256": weights, "template_sha256": sha256(folder / "chat_template.jinja")}
    write_json(folder / "source.json", {**source, "sha256": weights, **hashes})
    return folder


def _t5(vocabulary: int) -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=vocabulary,
        d_model=64,
        d_kv=32,
        d_ff=128,
        num_layers=2,
        num_heads=2,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
    return T5ForConditionalGeneration(config)


def _bart(vocabulary: int) -> Any:
    from transformers import BartConfig, BartForConditionalGeneration

    config = BartConfig(
        vocab_size=vocabulary,
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        max_position_embeddings=128,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=3,
        decoder_start_token_id=1,
    )
    return BartForConditionalGeneration(config)


def _tokenizer(kind: str) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    whole = Tokenizer(models.Unigram())
    whole.pre_tokenizer, whole.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    special = [AddedToken(text, special=True, normalized=False) for text in ("<pad>", END, "<unk>", "<s>")]
    texts = [text for row in rows(0, 128) for text in (row["messages"][0]["content"], row["answer"])]
    trainer = trainers.UnigramTrainer(
        vocab_size=250, special_tokens=special, unk_token="<unk>", show_progress=False, initial_alphabet=KNOWN
    )
    whole.train_from_iterator(texts, trainer)
    single = f"<s> $A {END}" if kind == "bart" else f"$A {END}"
    whole.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("<s>", 3), (END, 1)])
    begins = {"bos_token": "<s>"} if kind == "bart" else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=whole, eos_token=END, pad_token="<pad>", unk_token="<unk>", **begins
    )


def rows(first: int, count: int) -> list[dict]:
    """Rows as prepare writes them of the shape `pair`: `sort: a red apple, big` becomes `red is warm`."""
    return [
        dict(
            pair.example(
                {
                    "id": row["id"],
                    "source": f"{row['thing']}, {row['size']}",
                    "target": f"{row['colour']} is {row['mood']}",
                },
                PARAMS,
            )
        )
        for row in tiny.things(first, count)
    ]


def write_prepared(folder: Path, n: int) -> Path:
    """Write `folder/` like data/prepared/<dataset>, see tests/tiny.py."""
    held_out = max(8, n // 4)
    for name, first, count in (("train", 0, n), ("validation", n, held_out), ("test", n + held_out, held_out)):
        write_jsonl(folder / f"{name}.jsonl", rows(first, count))
    write_jsonl(folder / "dropped.jsonl", [])
    write_json(folder / "format.json", {**pair.templates(PARAMS), "shape": "pair", "example": "chat"})
    return folder
