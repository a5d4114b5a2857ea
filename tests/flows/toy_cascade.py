"""The toy project in which an encoder tells colour and mood, and the model writes the reply behind them; and what its
server has to answer.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from openai import OpenAI
from openai.types.chat import ChatCompletionChunk

from tasks.dialogues.chat import load_tokenizer
from tasks.files import write_json
from tasks.serve import verify
from tests import encoders, tiny
from tests.flows import project

TELLER = {
    "objective": {"kind": "classify"},
    "tuner": {"kind": "full"},
    "learning_rate": 3.0e-3,
    "num_train_epochs": 8,
    "max_length": 64,
    "bf16": False,
}
WRITTEN = {"evaluate": {"labels": tiny.LABELS}, "gate": {"minimum": {"colour_accuracy": 0.5}}}


def make(folder: Path) -> Path:
    """The project in `folder`; what may be left out of the rows of the cascade is left out."""
    project.make(folder)
    encoder = encoders.make_base(folder / "tiny-encoder")
    (encoder / "source.json").unlink()
    toys = json.loads((folder / "params.yaml").read_text())["datasets"]["toys"]
    prepare = {name: value for name, value in toys["prepare"].items() if name not in ("system", "answer")}
    project.change(
        folder,
        bases__encoder={**tiny.base_row(encoder), "folder": "tiny-encoder", "card_name": "anneal/tiny-encoder"},
        datasets__labels={**toys, "prepare": {**prepare, "shape": "labelled", "labels": tiny.LABELS}},
        cascades={"told": {"dataset": "toys", "model": "teller"}},
        models__teller={"parent": "encoder", "dataset": "labels", "train": TELLER},
        deploy__serve="auto",
        models__things__dataset="told",
        models__things__train={**tiny.TRAIN, "num_train_epochs": 3},
    )
    for suite in ("raw", "prepared"):
        write_json(folder / f"data/expectations/labels/{suite}.json", {"expectations": []})
    return folder


def write_out(folder: Path) -> None:
    """What DVC must find in params.yaml and preflight would write there."""
    project.change(folder, cascades__told__trained_on="labels")
    for section in ("predict", "evaluate", "package", "gate"):
        project.change(folder, **{f"models__teller__{section}": WRITTEN.get(section, {})})
    project.change(folder, models__teller__probe={"encoder": "tiny"})


def check(url: str, model: str, base: Path, adapter: Path, predictions: list[dict]) -> None:
    """Whole, in a stream and in several choices, the answer is the labels that were told and what was written."""
    parity = verify.check_parity(url, model, adapter, predictions, 512, 0.9)
    assert parity.prompts == len(predictions) == 8
    row, client = predictions[0], OpenAI(base_url=url, api_key="none", max_retries=0)
    asked = {"model": model, "messages": row["messages"], "temperature": 0, "max_tokens": 40}
    whole = client.chat.completions.create(**asked)
    text, usage = whole.choices[0].message.content, whole.usage
    assert text.startswith(row["given"]) and json.loads(text).keys() == set(tiny.PREPARE.answer)
    assert usage.prompt_tokens == len(verify.ask(url, model, ("chat/completions", asked), 1)["prompt_token_ids"])
    assert usage.completion_tokens < len(load_tokenizer(base)(text)["input_ids"])  # what was told is not written
    (streamed,) = written(client.chat.completions.create(**asked, stream=True), 1)
    assert "".join(streamed) == text and streamed[0] == row["given"]
    asked["temperature"] = 2.0
    for pieces in written(client.chat.completions.create(**asked, n=2, stream=True), 2):
        assert pieces[0] == row["given"] and len(pieces) > 2
    hot = client.chat.completions.create(**{**asked, "max_tokens": 200}, n=8, response_format={"type": "json_object"})
    finished = [choice.message.content for choice in hot.choices if choice.finish_reason == "stop"]
    assert finished and all(json.loads(text).keys() == set(tiny.PREPARE.answer) for text in finished)


def written(stream: Iterator[ChatCompletionChunk], count: int) -> list[list[str]]:
    """The pieces of each of `count` choices."""
    choices = [choice for event in stream for choice in event.choices]
    return [[choice.delta.content or "" for choice in choices if choice.index == index] for index in range(count)]
