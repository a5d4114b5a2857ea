"""The real vLLM draws samples: greedy ones as transformers does, drawn ones the same for the same seed, and what a
killed run has kept is not written again.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.files import read_json, read_jsonl
from tasks.inference import answers, sampling
from tasks.inference.engine import client, lifetime
from tasks.stages.sample import Sample, sample

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # it starts vLLM

ASKED = {"model": "tiny", "dataset": "things", "split": "train", "max_new_tokens": 8, "answers": 3, "rows": 12}


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of one's own, where no process is left."""
    import torch

    for module in (answers, client):
        monkeypatch.setattr(module, "compute_dtype", lambda: torch.float32)  # where no two tokens are as likely
    monkeypatch.chdir(tmp_path)
    keeper = lifetime.Keeper()
    keeper.hold()
    yield tmp_path
    keeper.let_go()


def drawn(base: Path, few: Path, name: str, engine: str) -> list[list[str]]:
    params = Sample(**ASKED, temperatures=[0.0, 1.0, 1.5], engine=engine)
    sample(params, base, few, Path("journal"), Path(name), Path("report"))
    assert read_json(Path("report/timing.json"))["engine"] == engine
    return [[answer["text"] for answer in row["answers"]] for row in read_jsonl(Path(name) / "samples.jsonl")]


def test_vllm_draws_what_the_seed_says_and_loses_nothing(
    base: Path, few: Path, inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    ours = drawn(base, few, "ours", "transformers")
    monkeypatch.setattr(sampling, "AT_ONCE", 9)
    theirs = drawn(base, few, "theirs", "vllm")
    assert [row[0] for row in theirs] == [row[0] for row in ours]
    assert sum(len(set(row)) for row in theirs) > 30  # of 36
    write, asked = client.Vllm.write, list[int]()

    def dies_the_third_time(engine: client.Vllm, model: torch.nn.Module, prompts: answers.Prompts) -> object:
        asked.append(len(prompts.tokens))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return write(engine, model, prompts)

    monkeypatch.setattr(client.Vllm, "write", dies_the_third_time)
    with pytest.raises(KeyboardInterrupt):
        drawn(base, few, "again", "vllm")
    assert drawn(base, few, "again", "vllm") == theirs
    assert asked == [9, 9, 9, 9, 9]  # four parts, of which the third was asked for twice
