"""Makes a tiny but real base model and a toy dataset in a folder, the same bytes every time and without a network.

The base is a Llama of 2 layers with a byte-level BPE tokenizer and SmolLM2's chat template; everything that loads a
model (transformers, peft, vLLM's CPU backend: head size 32) loads it, and a row of `bases` may name it as its `folder`.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from tasks.files import sha256, write_json, write_jsonl
from tasks.stages.prepare.shapes.table import Params as Prepare
from tasks.stages.prepare.shapes.table import format_row

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

PAD = END = "<|im_end|>"  # pad is the end of turn, as in SmolLM2: padding must be told from it by place
TEMPLATE = """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You sort things by colour<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}"""

COLOURS = {"red": "warm", "orange": "warm", "blue": "cold", "green": "cold"}
THINGS = "apple boat chair door engine flower glove house island jacket kettle lamp mirror needle oven pencil".split()
SIZES = "small big tall thin old new heavy light".split()
PREPARE = Prepare(
    system="Sort the thing. Answer with JSON: colour, mood, reply.",
    user="Thing: {{ thing }}\nSize: {{ size }}",
    answer=["colour", "mood", "reply"],
)
LABELS, TEXTS = ["colour", "mood"], ["reply"]
# With 128 rows these learn the whole task (all 32 test answers right) in a few seconds on one thread.
KINDS = {"objective": {"kind": "sft"}, "tuner": {"kind": "lora"}}
LORA = {"kind": "lora", "r": 16, "lora_alpha": 32}
TRAIN = {
    "objective": {"kind": "sft"},
    "tuner": LORA,
    "learning_rate": 1.0e-2,
    "num_train_epochs": 8,
    "max_length": 256,
    "early_stopping_patience": 3,
}
PREDICT = {"max_new_tokens": 40, "per_device_eval_batch_size": 16}
EVALUATE = {"labels": LABELS, "texts": TEXTS, "bootstrap_resamples": 100}


def make_base(folder: Path) -> Path:
    """Write `folder/` as the stage `base` would: bf16 safetensors, tokenizer, chat_template.jinja, source.json;
    returns it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    model = _model(len(tokenizer), special)
    model.generation_config.update(**special)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    source = {"folder": "tests/tiny", "license": "apache-2.0", "card_name": "anneal/tiny"}
    hashes = {
        "weights_sha256": sha256(folder / "model.safetensors"),
        "template_sha256": sha256(folder / "chat_template.jinja"),
    }
    write_json(folder / "source.json", {**source, "sha256": hashes["weights_sha256"], **hashes})
    return folder


def _model(vocabulary: int, special: dict[str, int]) -> "LlamaForCausalLM":
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=2048,
        initializer_range=0.15,  # wide, so that the frozen layers tell tokens apart and adapters can learn on them
        tie_word_embeddings=True,
        **special,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
        # An embedding's padding row starts as zeros; here it is the end of turn, which could then never be answered.
        torch.nn.init.normal_(
            model.get_input_embeddings().weight.data[config.pad_token_id], std=config.initializer_range
        )
    return model.to(torch.bfloat16)


def base_row(folder: Path) -> dict:
    """The row of `bases` in params.yaml that names `folder` as its source."""
    return {
        "folder": folder.as_posix(),
        "sha256": sha256(folder / "model.safetensors"),
        "license": "apache-2.0",
        "card_name": "anneal/tiny",
    }


def train_in(place: Path, base: Path, prepared: Path, **changes: object) -> SimpleNamespace:
    """Train with TRAIN and `changes`: `place/trained`, `place/report` and `place/checkpoints/things`, as adapter,
    report, checkpoints.
    """
    from tasks.stages.train.__main__ import train
    from tasks.stages.train.params import Train

    made = SimpleNamespace(
        adapter=place / "trained", report=place / "report", checkpoints=place / "checkpoints" / "things"
    )
    train(Train(**{**TRAIN, **changes}), base, prepared, made.checkpoints, made.adapter, made.report)
    return made


def mean_nll(predictions: list[dict]) -> float:
    """Nats a token of the right answers, as the loss counts them."""
    return sum(row["nll"] for row in predictions) / sum(row["tokens"] for row in predictions)


def things(first: int, count: int) -> list[dict]:
    """Rows `first` … of the toy dataset: texts named id, thing, size, colour, mood, reply; each is another input."""
    rows = []
    for i in range(first, first + count):
        colour, thing, size = list(COLOURS)[i % 4], THINGS[i // 4 % 16], SIZES[(i // 64 + i) % 8]
        rows.append(
            {
                "id": f"thing-{i:04}",
                "thing": f"a {colour} {thing}",
                "size": size,
                "colour": colour,
                "mood": COLOURS[colour],
                "reply": f"Put it on the {colour} shelf.",
            }
        )
    return rows


def prepared_rows(first: int, count: int) -> list[dict]:
    """The same as `{id, messages, answer, row}`, the way prepare writes them."""
    return [format_row(row, PREPARE) for row in things(first, count)]


def write_prepared(folder: Path, n: int) -> Path:
    """Write `folder/` like data/prepared/<dataset>: `n` rows to train on, n/4 (at least 4) for validation, n/4 (at
    least 8) for test.
    """
    validation, test = max(4, n // 4), max(8, n // 4)
    starts = {"train": (0, n), "validation": (n, validation), "test": (n + validation, test)}
    for name, (first, count) in starts.items():
        write_jsonl(folder / f"{name}.jsonl", prepared_rows(first, count))
    write_jsonl(folder / "dropped.jsonl", [])
    write_json(folder / "format.json", {"system": PREPARE.system, "user": PREPARE.user, "answer": PREPARE.answer})
    return folder


def _tokenizer() -> object:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    whole = Tokenizer(models.BPE())
    whole.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    whole.decoder = decoders.ByteLevel()
    special = [AddedToken(text, special=True, normalized=False) for text in ("<|endoftext|>", "<|im_start|>", END)]
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    whole.train_from_iterator(
        [
            text
            for row in prepared_rows(0, 128)
            for text in (*(m["role"] + "\n" + m["content"] for m in row["messages"]), "assistant\n", row["answer"])
        ],
        trainer,
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=whole, bos_token="<|im_start|>", eos_token=END, pad_token=PAD, unk_token="<|endoftext|>"
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer
