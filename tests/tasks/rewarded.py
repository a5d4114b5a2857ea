"""Rows with a rubric, for the tests of objectives that learn from a reward."""

import random
import shutil
from pathlib import Path

from tasks.files import read_jsonl, write_jsonl
from tests import tiny
from tests.tasks import matrix

WORDS = "red green blue sky moon".split()
REWARDS = [{"kind": "pattern", "pattern": "^blue"}]
HELD_OUT = [{"kind": "repetition", "n": 1}]


def prepared(folder: Path, rows: dict[str, int], rewards: list[dict] | None = None) -> Path:
    """Write `folder` like data/prepared/<a row of rubrics>, with so many rows a split."""
    tiny.write_prepared(folder, rows["train"])
    for name, count in rows.items():
        write_jsonl(folder / f"{name}.jsonl", read_jsonl(folder / f"{name}.jsonl")[:count])
    return matrix.with_rubric(folder, rewards or REWARDS, HELD_OUT)


def make_writer(base: Path, folder: Path) -> Path:
    """Write `folder/`: the tiny base, taught to answer whatever it is asked with WORDS at random, four in the mean.

    So what a reward pays for is done now and then, and can be learnt; and what is learnt can be told from that.
    """
    import torch

    from tasks.dataset.encoded import left_padded
    from tasks.dialogues import chat
    from tasks.models import lm

    tokenizer, drawn = chat.load_tokenizer(base), random.Random(0)
    rows = tiny.prepared_rows(0, 48)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = lm.parent(base, {"dtype": torch.float32})
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
        for _ in range(150):
            said = [{**drawn.choice(rows), "answer": _words(drawn)} for _ in range(16)]
            batch = left_padded([chat.encode(tokenizer, row) for row in said], tokenizer.pad_token_id)
            model(**batch)["loss"].backward()
            optimizer.step()
            optimizer.zero_grad()
    shutil.copytree(base, folder)
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


def _words(drawn: random.Random) -> str:
    words = [drawn.choice(WORDS)]
    while drawn.random() < 0.75:
        words.append(drawn.choice(WORDS))
    return " ".join(words)
