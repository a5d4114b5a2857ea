"""Passes a second of an encoder of MiniLM's shape, read and trained, with threads that spin or sleep while they wait:
alone, and beside a program that keeps one core busy.

`.venv/bin/python bench/waiting_threads.py [seconds]`; the last line is JSON. What is measured stands in
tasks/environment.py: GOMP_SPINCOUNT.
"""

import json
import os
import subprocess
import sys

POLICIES = {
    "as OpenMP has it": {},
    "asleep at once": {"OMP_WAIT_POLICY": "passive"},
    "asleep after 1,000 turns": {"GOMP_SPINCOUNT": "1000"},
}
WORK = """
import sys, time
import torch
from transformers import BertConfig, BertModel
seconds, trains = float(sys.argv[1]), sys.argv[2] == "train"
shape = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
model, texts, passes = BertModel(BertConfig(**shape)), torch.randint(1000, 20000, (8, 20)), 0
def once():
    if trains:
        model(input_ids=texts).last_hidden_state.square().mean().backward()
    else:
        with torch.inference_mode():
            model(input_ids=texts)
once()
began = time.monotonic()
while time.monotonic() - began < seconds:
    once()
    passes += 1
print(passes / (time.monotonic() - began))
"""


def main() -> None:
    """All policies in turn, twice, alone and beside a busy program; the better of the two."""
    seconds = sys.argv[1] if len(sys.argv) > 1 else "5"
    figures: dict[str, float] = {}
    for beside in ("alone", "beside a busy program"):
        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if beside != "alone" else None
        try:
            for _ in range(2):
                for work in ("read", "train"):
                    for policy in POLICIES:
                        name = f"{work}, {policy}, {beside}"
                        figures[name] = max(figures.get(name, 0.0), _rate(seconds, work, policy))
                        print(f"{name}: {figures[name]:.2f} passes a second", file=sys.stderr, flush=True)
        finally:
            if busy:
                busy.kill()
                busy.wait()
    print(json.dumps({name: round(rate, 2) for name, rate in figures.items()}))


def _rate(seconds: str, work: str, policy: str) -> float:
    env = {**os.environ, **POLICIES[policy]}
    done = subprocess.run(
        [sys.executable, "-c", WORK, seconds, work], env=env, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


if __name__ == "__main__":
    main()
