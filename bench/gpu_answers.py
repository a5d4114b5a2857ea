"""Answers on this machine's GPU by transformers and by vLLM: parent, few-shot, an adapter, weights trained whole and
merged; whether they are the same, how long they take, and whether anything is left behind.

`.venv/bin/python bench/gpu_answers.py [--base FOLDER] [--rows 144] [--out FILE]` prints a table, a line a check as it
ends, and one JSON line last; the status is 1 where a check failed, 2 where there is no GPU. `--device cpu` tries the
script itself. Without `--base` (models/smollm2/weights of a checkout that has been set up) the model is a tiny one.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.gpu import Row, show

ALIKE = 0.95  # share of equal tokens in bf16, each judged behind the same tokens; as deploy.min_agreement
ENGINES = ("transformers", "vllm")
STAGES = ("parent", "few-shot", "lora", "full", "ia3")


@dataclass(frozen=True)
class Place:
    """What is asked: a base, prepared rows, and what was trained on them by the name of its tuner."""

    base: Path
    prepared: Path
    trained: dict[str, Path]


def main() -> int:
    """Run the checks in a folder of their own, one process of vLLM for all of them."""
    options = _options()
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from tasks import environment

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    environment.apply()
    from tasks.device import device
    from tasks.inference.engine.lifetime import keeping

    if options.device == "gpu" and device() != "cuda":
        print("there is no NVIDIA GPU here that torch can use; --device cpu tries the script itself", file=sys.stderr)
        return 2
    base, out = options.base and options.base.resolve(), options.out and options.out.resolve()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        place = _made(base, options.rows)
        with keeping() as keeper:
            keeper.hold()
            for row in _checks(place):
                rows.append(row)
                show(row, out)
            rows.append(_left(keeper))
            show(rows[-1], out)
        os.chdir("/")
    failed = sum(row.state == "FAILED" for row in rows)
    told = [{"name": row.name, "state": row.state, **row.numbers} for row in rows]
    print(json.dumps({"ok": len(rows) - failed, "FAILED": failed, "device": _device(), "checks": told}), flush=True)
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--device", choices=["gpu", "cpu"], default="gpu")
    parser.add_argument("--base", type=Path, help="a folder of weights as the stage `base` writes it")
    parser.add_argument("--rows", type=int, default=144, help="that are asked")
    parser.add_argument("--out", type=Path, help="a file to which a JSON line a check is added")
    return parser.parse_args()


def _made(base: Path | None, rows: int) -> Place:
    """A base, rows, and a model of each tuner, trained for some steps."""
    from tests import tiny

    base = base or tiny.make_base(Path("base"))
    prepared = tiny.write_prepared(Path("prepared"), max(64, 4 * rows))
    trained = {}
    for kind, rate in (("lora", 1e-3), ("full", 2e-5), ("ia3", 1e-2)):
        changes: dict[str, Any] = {"tuner": {"kind": kind}, "learning_rate": rate, "num_train_epochs": 1}
        trained[kind] = tiny.train_in(Path(kind), base, prepared, **changes).adapter
    return Place(base, prepared, trained)


def _checks(place: Place) -> Iterator[Row]:
    for stage in STAGES:
        began, told, numbers = time.monotonic(), {}, {}
        try:
            for engine in ENGINES:
                started = time.monotonic()
                told[engine], seconds = _asked(place, stage, engine)
                numbers[f"{engine}_answers_a_second"] = round(len(told[engine]) / max(seconds, 1e-9), 1)
                numbers[f"{engine}_seconds_with_start"] = round(time.monotonic() - started, 1)
            numbers |= _agreement(told)
            problem = _problem(stage, told, numbers)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a row, and the rest goes on
            problem = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        figure = problem or (
            f"{numbers['vllm_answers_a_second']} answers a second, transformers "
            f"{numbers['transformers_answers_a_second']}; {numbers['alike']:.1%} of tokens, "
            f"{numbers['identical']} of {len(told['vllm'])} identical"
        )
        yield Row(stage, "FAILED" if problem else "ok", figure, round(time.monotonic() - began, 1), numbers)


def _asked(place: Place, stage: str, engine: str) -> tuple[list[dict], float]:
    """(predictions, seconds for them) of a stage; they are what the stage itself would write."""
    from tasks.files import read_json, read_jsonl
    from tasks.stages.baseline import baseline
    from tasks.stages.few_shot import few_shot
    from tasks.stages.predict.__main__ import predict
    from tasks.stages.predict.params import Predict

    params, out = Predict(max_new_tokens=64, per_device_eval_batch_size=144, engine=engine), Path(engine) / stage
    ways: dict[str, Callable[[], None]] = {
        "parent": lambda: baseline(params, place.base, place.prepared, out),
        "few-shot": lambda: few_shot(params, place.base, place.prepared, out),
    }
    ways.get(stage, lambda: predict(params, place.base, place.trained[stage], place.prepared, out))()
    told, timing = read_jsonl(out / "predictions.jsonl"), read_json(out / "timing.json")
    if timing["engine"] != engine:
        raise RuntimeError(f"asked of {engine}, answered by {timing['engine']}")
    return told, timing["seconds_per_answer"] * len(told)


def _agreement(told: dict[str, list[dict]]) -> dict[str, Any]:
    """`alike`: share of tokens that are the same, of those behind the same tokens; `identical`: answers."""
    pairs = [(a["token_ids"], b["token_ids"]) for a, b in zip(*(told[engine] for engine in ENGINES), strict=True)]
    first = [next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a)) for a, b in pairs]
    judged = sum(place + 1 for place in first)
    differ = sum(a != b for a, b in pairs)
    return {"alike": 1 - differ / max(judged, 1), "identical": len(pairs) - differ}


def _problem(stage: str, told: dict[str, list[dict]], numbers: dict[str, Any]) -> str:
    """What is not as it should be; empty where all is."""
    from tasks.formats.answer import JsonAnswer
    from tests import tiny

    ours, theirs = (told[engine] for engine in ENGINES)
    if [(row["nll"], row["tokens"]) for row in ours] != [(row["nll"], row["tokens"]) for row in theirs]:
        return "the likelihoods are others"
    form = JsonAnswer(tuple(tiny.PREPARE.answer))
    if stage in ("parent", "few-shot") and not all(form.read(row["text"]) and row["finished"] for row in theirs):
        return "an answer is not of the form to which it was held"
    return "" if numbers["alike"] >= ALIKE else f"only {numbers['alike']:.1%} of tokens are alike"


def _left(keeper: Any) -> Row:
    """Whether the process ends when nobody holds it."""
    import psutil

    began = time.monotonic()
    keeper.let_go()
    waited = time.monotonic() - began
    processes = psutil.process_iter(["cmdline", "cwd"])
    mine = [each for each in processes if each.info["cwd"] == str(Path.cwd())]
    good = not any("tasks.inference.engine.server" in (each.info["cmdline"] or ()) for each in mine)
    words = f"ended after {waited:.1f} s" if good else f"still there after {waited:.1f} s"
    return Row("nothing is left", "ok" if good else "FAILED", words, round(waited, 1))


def _device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    sys.exit(main())
