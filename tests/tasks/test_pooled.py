"""A classifier as a folder for vLLM's pooling: its layers are the heads, and real vLLM says its probabilities."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from starlette.testclient import TestClient

from tasks import kinds, tuners
from tasks.dialogues.special import of_folder
from tasks.files import read_json, write_json
from tasks.models import pooled
from tasks.objectives import classify
from tasks.serve import reading_parity, verify
from tasks.serve.pooling import engine
from tasks.serve.transformers.reading import ReadingModel
from tasks.weights import tuned
from tests import encoders, tiny
from tests.tasks.gateway import wait_for

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [
    "big a red apple",
    "a [SEP] b <|im_end|> c",
    "small a blue boat and a good many more words beside it",
    "x" * 900,
]
COLUMNS = {"colour": ["blue", "green", "red"], "mood": ["cold", "warm"]}

pytestmark = pytest.mark.slow  # it loads torch


def trained(base: Path, folder: Path, tuner: dict) -> Path:
    """A classifier on `base` that nothing was taught: its heads are of chance, and far from equal classes."""
    import torch

    from tasks.models.classifier import Classifier

    settings = kinds.load("tasks.tuners", tuner["kind"]).Params(**tuner)
    torch.manual_seed(1)
    body = tuners.of(settings).attach(settings, classify.parent(base, {"dtype": torch.float32}))
    for name, weight in body.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    model = Classifier(body, COLUMNS, classify.encoder.usual_pooling(body))
    for head in model.heads:
        torch.nn.init.normal_(head.weight, std=0.5)
        torch.nn.init.normal_(head.bias)
    folder.mkdir(parents=True)
    tuners.save(settings, body, base, folder)
    classify.save_head(model, folder)
    return folder


def told(base: Path, folder: Path) -> list[dict]:
    """What evaluation is told of TEXTS."""
    rows = [{"id": str(i), "messages": [{"role": "user", "content": text}]} for i, text in enumerate(TEXTS)]
    model, reader = tuned.load(base, folder), tuned.tokenizer(base, folder)
    encoded = [classify.of_text(reader, text) for text in TEXTS]
    return [{**row, **classify.predict(model, reader, [ids])[0]} for row, ids in zip(rows, encoded, strict=True)]


@pytest.fixture(scope="module", params=["encoder", "causal"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """An encoder tuned whole, whose tokens are pooled by their mean, and a LoRA on a base that writes, by the last."""
    root = tmp_path_factory.mktemp(request.param)
    is_encoder = request.param == "encoder"
    base = (encoders if is_encoder else tiny).make_base(root / "base")
    folder = trained(base, root / "trained", {"kind": "full"} if is_encoder else tiny.LORA)
    place = root / "pooled"
    place.mkdir()
    pooled.write(base, folder, place)
    return SimpleNamespace(base=base, trained=folder, place=place, pooling="mean" if is_encoder else "last")


class Double:
    """Pools and applies the layer of a folder, as vLLM does."""

    def __init__(self, folder: Path) -> None:
        import torch
        from safetensors.torch import load_file
        from transformers import AutoModel

        self.layer = load_file(folder / "2_Dense/model.safetensors")
        self.body = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.pooling = "mean" if read_json(folder / "1_Pooling/config.json").get("pooling_mode_mean_tokens") else "last"

    def encode(self, prompts: list[dict], asked: object, use_tqdm: bool, pooling_task: str) -> list[SimpleNamespace]:
        """The logits of each prompt."""
        return [
            SimpleNamespace(outputs=SimpleNamespace(data=self.logits(each["prompt_token_ids"]))) for each in prompts
        ]

    def logits(self, tokens: list[int]) -> object:
        import torch

        from tasks.models.encoder import pool

        ids = torch.tensor([tokens])
        with torch.inference_mode():
            vector = pool(self.body(input_ids=ids).last_hidden_state, torch.ones_like(ids), self.pooling)[0]
        return self.layer["linear.weight"] @ vector + self.layer["linear.bias"]


def test_the_folder_holds_the_merged_body_its_pooling_and_the_heads_as_one_layer(made: SimpleNamespace) -> None:
    from tasks.models.encoder import load_tokenizer

    double, reader = Double(made.place), load_tokenizer(made.place)
    assert double.pooling == made.pooling and read_json(made.place / "2_Dense/config.json")["out_features"] == 5
    assert [module["path"] for module in read_json(made.place / "modules.json")] == ["", "1_Pooling", "2_Dense"]
    for row in told(made.base, made.trained):
        logits = double.logits(classify.of_text(reader, row["messages"][0]["content"]))
        for column, own in zip(row["probabilities"].items(), logits.split([3, 2]), strict=True):
            assert own.softmax(-1).tolist() == pytest.approx([*column[1].values()], abs=1e-5), column[0]


def test_what_vllm_does_not_pool_is_told_from_the_bases_config(made: SimpleNamespace, tmp_path: Path) -> None:
    assert pooled.knows(made.base) and pooled.knows(made.place)
    write_json(tmp_path / "config.json", {"model_type": "mpnet"})
    assert not pooled.knows(tmp_path) and not pooled.knows(tmp_path / "nowhere")


def test_the_server_tells_the_evaluations_probabilities_by_every_route(made: SimpleNamespace) -> None:
    from tasks.models.encoder import load_tokenizer
    from tasks.serve.transformers.app import create_app
    from tasks.serve.transformers.worker import Worker

    worker, rows = Worker(made.place, 96), told(made.base, made.trained)
    model = engine.Pooled(Double(made.place), None, COLUMNS)
    worker.served["things@1"] = ReadingModel(engine, model, load_tokenizer(made.place), 96)
    client = TestClient(create_app(worker))
    fitting = [row for row in rows if len(row["token_ids"]) <= 96]
    texts = [row["messages"][0]["content"] for row in fitting]
    data = client.post("/classify", json={"model": "things@1", "input": texts}).json()["data"]
    for entry, row in zip(data, fitting, strict=True):
        for column, shares in row["probabilities"].items():
            assert entry["labels"][column]["probabilities"] == pytest.approx(shares, abs=1e-5)
    chat = client.post("/v1/chat/completions", json={"model": "things@1", "messages": fitting[0]["messages"]}).json()
    assert chat["choices"][0]["message"]["content"] == fitting[0]["text"] and chat["choices"][0]["probabilities"]
    refused = client.post("/v1/completions", json={"model": "things@1", "prompt": "a"})
    assert refused.status_code == 400 and "predicts classes and does not generate text" in refused.text
    long = client.post("/classify", json={"model": "things@1", "input": "a , " * 400})
    assert long.status_code == (200 if made.pooling == "mean" else 400), "what is cut, and what does not fit"


@contextmanager
def process(folder: Path) -> Iterator[str]:
    """vLLM on the classifier in a folder as things@1; yields its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--model", str(folder), "--name", "things@1", "--port", str(port), "--max-model-len", "96"]
    space = {"VLLM_CPU_KVCACHE_SPACE": "1"}
    started = subprocess.Popen([sys.executable, "-m", "tasks.serve.pooling", *words], cwd=ROOT, env=os.environ | space)
    try:
        url = f"http://127.0.0.1:{port}/v1"
        wait_for(lambda: started.poll() is not None or verify.is_healthy(url), "server", 400)
        assert started.poll() is None, "it ended"
        yield url
    finally:
        started.terminate()
        started.wait(30)


@pytest.mark.minutes
def test_vllm_tells_the_evaluations_probabilities_by_every_route(made: SimpleNamespace) -> None:
    rows = told(made.base, made.trained)
    fitting = [row for row in rows if len(row["token_ids"]) <= 96]
    with process(made.place) as url:
        assert verify.served_names(url) == ["things@1"]
        parity, too_long = reading_parity.check_parity(url, "things@1", of_folder(made.base), rows)
        assert parity.prompts == len(fitting) and parity.difference < 1e-4
        assert too_long == [row["id"] for row in rows if row not in fitting]
        body = {"model": "things@1", "input": [row["messages"][0]["content"] for row in fitting] * 20}
        data = httpx.post(f"{url.removesuffix('/v1')}/classify", json=body, timeout=120).json()["data"]
        for entry, row in zip(data, fitting * 20, strict=True):
            for column, shares in row["probabilities"].items():
                assert entry["labels"][column]["probabilities"] == pytest.approx(shares, abs=1e-4)
        chat = {"model": "things@1", "messages": fitting[0]["messages"]}
        choice = httpx.post(f"{url}/chat/completions", json=chat, timeout=60).json()["choices"][0]
        assert json.loads(choice["message"]["content"]) == json.loads(fitting[0]["text"])
