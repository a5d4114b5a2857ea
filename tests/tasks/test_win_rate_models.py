"""The parts of a win rate that run a model: verdicts of a reward model, and the distance from the parent."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.comparison.win_rate import players
from tasks.comparison.win_rate.divergence import divergence
from tasks.comparison.win_rate.judges.reward import RewardJudge
from tasks.comparison.win_rate.players import Player
from tasks.dialogues import choices
from tasks.files import read_jsonl
from tasks.stages.predict.params import Predict
from tests import rewards, tiny

pytestmark = pytest.mark.slow  # it trains
PREDICT = Predict(**tiny.PREDICT)


@pytest.fixture(scope="module")
def scored(base: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A reward model on toy pairs."""
    place = tmp_path_factory.mktemp("scored")
    prepared = rewards.write_prepared(place / "prepared", 96)
    train = {"objective": {"kind": "reward"}, "tuner": {"kind": "full"}, "learning_rate": 1.0e-3, "max_length": 200}
    made = tiny.train_in(place, base, prepared, **train, num_train_epochs=4, bf16=False)
    return SimpleNamespace(adapter=made.adapter, prepared=prepared)


def test_a_reward_model_prefers_the_better_answers_and_turns_round(scored: SimpleNamespace, base: Path) -> None:
    pairs = read_jsonl(scored.prepared / "test.jsonl")
    rows = [{**row, "messages": choices.split(row["messages"])[0]} for row in pairs]
    told = [choices.split(row["messages"])[1] for row in pairs]
    places = [choices.PAIR.index(choices.better(row)) for row in pairs]
    better = [answers[place] for answers, place in zip(told, places, strict=True)]
    other = [answers[1 - place] for answers, place in zip(told, places, strict=True)]
    judge = RewardJudge("scored", base, scored.adapter)
    judged, back = judge(rows, better, other), judge(rows, other, better)
    assert sum(judged.shares) >= 15 and judged.by == "the reward model scored"
    assert back.shares == [1 - share for share in judged.shares]
    assert judge(rows, better, better).shares == [0.5] * len(rows)
    (part,) = judged.parts
    share = 1 / (1 + math.exp(part["second"][0] - part["first"][0]))
    assert judged.notes[0].endswith(f"preferred with {share:.0%}")


def player(base: Path, trained: Path | None, reports: Path) -> Player:
    return Player("things" if trained else "tiny", base, trained, PREDICT, reports)


def test_a_model_is_at_no_distance_from_itself_and_the_parent_is_asked(base: Path, few: Path, tmp_path: Path) -> None:
    rows = read_jsonl(few / "test.jsonl")
    of_base = player(base, None, tmp_path)
    players.ask(of_base, rows, of_base.folder("toys"))
    told = players.answers(of_base, rows, "toys")
    assert [row["id"] for row in told] == [row["id"] for row in rows]
    itself = divergence(of_base, of_base, told)["of"]
    assert itself.keys() == {row["id"] for row in rows} and all(nats < 1e-6 for nats, _ in itself.values())


def test_the_distance_is_the_mean_kl_of_each_token_by_hand(base: Path, few: Path, trained, tmp_path: Path) -> None:
    import torch

    from tasks.dialogues.chat import encode_question

    rows = read_jsonl(few / "test.jsonl")[:2]
    ours, parent = player(base, trained.adapter, tmp_path), player(base, None, tmp_path)
    players.ask(ours, rows, ours.folder("toys"))
    told = players.answers(ours, rows, "toys")
    known = divergence(ours, parent, told)["of"]
    first = told[0]
    reader, models = ours.tokenizer(), (ours.load(), parent.load())
    answer = [*first["token_ids"], reader.eos_token_id] if first["finished"] else first["token_ids"]
    prompt, total = encode_question(reader, first), 0.0
    with torch.inference_mode():
        for place in range(len(answer)):  # one token after the other, as it was written
            ids = torch.tensor([[*prompt, *answer[:place]]])
            p, q = (model(input_ids=ids).logits[0, -1].double().softmax(-1) for model in models)
            total += float((p * (p / q).log()).sum())
    nats, tokens = known[first["id"]]
    assert tokens == len(answer) and nats == pytest.approx(total, rel=2e-2) and nats > 0.5


def test_sampled_answers_are_the_seeds_and_two_equal_models_draw_the_same(
    base: Path, few: Path, tmp_path: Path
) -> None:
    rows = read_jsonl(few / "test.jsonl")

    def texts(seed: int, temperature: float = 1.0, name: str = "tiny") -> list[str]:
        drawn = Player(name, base, None, PREDICT, tmp_path / name, temperature, seed)
        players.ask(drawn, rows, drawn.folder("toys"))
        return [row["text"] for row in players.answers(drawn, rows, "toys")]

    assert texts(1) == texts(1, name="twin") != texts(2)
    assert texts(1) != texts(1, temperature=0.0)
    assert {folder.name for folder in (tmp_path / "tiny/asked").iterdir()} == {"toys", "toys-t1"}


def test_models_of_other_tokens_have_no_distance(base: Path, few: Path, tmp_path: Path) -> None:
    import shutil

    from transformers import AutoTokenizer

    other = tmp_path / "other"
    shutil.copytree(base, other)
    reader = AutoTokenizer.from_pretrained(other)
    reader.add_tokens(["<new>"])
    reader.save_pretrained(other)
    known = divergence(player(base, None, tmp_path), Player("other", other, None, PREDICT, tmp_path), [])
    assert known == {"reason": "tiny and other have different tokens"}
