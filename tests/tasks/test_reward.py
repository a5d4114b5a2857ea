"""Reward models: a planted preference is learnt on a base that writes and on an encoder; the loss is the one that
paper and pencil give; scores do not depend on padding or company; several heads say how far they agree.
"""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks import objectives
from tasks.dialogues import choices
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl
from tasks.models import dialogue_reader
from tasks.stages.package import Package, package
from tasks.weights import tuned
from tests import rewards, sequences, tiny

pytestmark = pytest.mark.slow  # it trains

REWARD = objectives.kinds.load("tasks.objectives", "reward")
PARAMS = REWARD.Params(kind="reward")
TRAIN = {
    "objective": {"kind": "reward", "ensemble": 3},
    "tuner": {"kind": "full"},
    "learning_rate": 1.0e-3,
    "num_train_epochs": 4,
    "max_length": 200,
    "bf16": False,
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    return rewards.write_prepared(tmp_path_factory.mktemp("prepared"), 96)


@pytest.fixture(scope="module", params=["base", "encoder"])
def parent(request) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def made(parent, prepared, tmp_path_factory) -> SimpleNamespace:
    return tiny.train_in(tmp_path_factory.mktemp("made"), parent, prepared, **TRAIN)


@pytest.fixture(scope="module")
def predictions(made, parent, prepared) -> list[dict]:
    return tuned.answer(parent, made.adapter, read_jsonl(prepared / "test.jsonl"), 5, 8, "tuned").predictions


def test_a_planted_preference_is_learnt(predictions, prepared):
    rows = read_jsonl(prepared / "test.jsonl")
    assert [row["id"] for row in predictions] == [row["id"] for row in rows]
    right = [json.loads(row["text"])["better"] == choices.better(row) for row in predictions]
    assert sum(right) >= 15
    assert {choices.better(row) for row in rows} == set(choices.PAIR)


def test_the_probability_is_the_sigmoid_of_the_difference(predictions):
    for row in predictions:
        first, second = json.loads(row["text"])["scores"]
        shares = row["probabilities"]["better"]
        assert shares["first"] == pytest.approx(1 / (1 + math.exp(second - first)), abs=2e-5)
        assert sum(shares.values()) == pytest.approx(1, abs=1e-6)
        assert row["nll"] == pytest.approx(-math.log(shares[choices.better(row)]), abs=1e-3) and row["tokens"] == 1
        assert len(json.loads(row["text"])["spreads"]) == 2


def test_the_loss_is_that_of_bradley_and_terry_with_margins_and_centring():
    import torch

    batch = {
        "input_ids": torch.zeros(4, 1),
        "attention_mask": torch.ones(4, 1),
        "margins": torch.tensor([0.0, 0.5]),
        "draws": torch.tensor([[1.0, 0.0], [2.0, 1.0]]),
    }
    scores = torch.tensor([[1.0, 0.2], [0.3, -0.4], [0.5, 0.1], [-0.2, 0.9]])  # better, better, other, other
    params = REWARD.Params(kind="reward", ensemble=2, center_rewards_coefficient=0.1)

    def nll(better: float, other: float, margin: float) -> float:
        return math.log(1 + math.exp(-(better - other - margin)))

    first = (nll(1.0, 0.5, 0) + 0.1 * 1.5**2 + 0 + 0.1 * 0.3**2) / 2
    second = (2 * nll(0.3, -0.2, 0.5) + 0.1 * 0.1**2 + nll(-0.4, 0.9, 0.5) + 0.1 * 0.5**2) / 2
    model = SimpleNamespace(forward=lambda **_: [scores]).forward
    assert REWARD.loss(params, model, batch, None).item() == pytest.approx((first + second) / 2)
    assert REWARD.loss(params, model, batch, torch.tensor(4)).item() == pytest.approx((first + second) / 4)


def test_a_pair_has_its_own_margin_or_the_one_of_all(base):
    reader = dialogue_reader.load(base)
    params = REWARD.Params(kind="reward", margin=0.25)
    (own,), (none,) = rewards.rows(0, 1, margin="1.5"), rewards.rows(0, 1)
    encoded = [REWARD.encode(params, reader, row) for row in (own, none)]
    assert REWARD.collate(encoded, 0)["margins"].tolist() == [1.5, 0.25]


def test_of_a_pair_the_longer_dialogue_decides_whether_it_is_left_out(base):
    reader = dialogue_reader.load(base)
    encoded = [REWARD.encode(PARAMS, reader, row) for row in rewards.rows(0, 4)]
    longest = [max(map(len, reader.choice(row).dialogues)) for row in rewards.rows(0, 4)]
    kept, left_out = REWARD.arrange(PARAMS, encoded, min(longest))
    assert len(kept) == longest.count(min(longest)) and left_out == 4 - len(kept)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_on_either_side_changes_no_score(side, made, parent, prepared):
    import torch

    model, reader = tuned.load(parent, made.adapter), tuned.tokenizer(parent, made.adapter)
    for row in read_jsonl(prepared / "test.jsonl")[:4]:
        for tokens in reader.choice(row).dialogues:
            pad = [reader.pad_token_id] * 9
            ids = torch.tensor([[*pad, *tokens] if side == "left" else [*tokens, *pad]])
            mask = torch.tensor([[0] * 9 + [1] * len(tokens) if side == "left" else [1] * len(tokens) + [0] * 9])
            with torch.inference_mode():
                (padded,), (plain,) = model(ids, mask), model(torch.tensor([tokens]), torch.ones(1, len(tokens)).long())
            assert torch.allclose(padded, plain, atol=1e-5)


def test_a_head_reads_the_last_token_that_is_no_padding(base, prepared):
    """The end of turn is this base's padding too: a score must not be read one token early."""
    import torch

    from tasks.models import encoder, reward

    body, reader = encoder.load_body(base), dialogue_reader.load(base)
    model = reward.build(body, 1, "last").eval()
    tokens = reader.choice(read_jsonl(prepared / "test.jsonl")[0]).dialogues[0]
    assert tokens[-1] == reader.pad_token_id == reader.tokenizer.eos_token_id
    with torch.inference_mode():
        hidden = body(input_ids=torch.tensor([tokens])).last_hidden_state[0, -1].float()
        by_hand = model.heads[0](hidden).item()
    assert reward.rewards(model, reader.pad_token_id, [tokens, [*tokens, *tokens]])[0].item() == pytest.approx(
        by_hand, abs=1e-5
    )


def test_what_is_packaged_scores_texts_for_others(made, parent, prepared, predictions, tmp_path):
    from tasks.models import reward

    folder = packaged(made, parent, prepared, tmp_path)
    rewarder = reward.load(folder)
    row = read_jsonl(prepared / "test.jsonl")[0]
    prompt, answers = choices.split(row["messages"])
    asked = {**row, "messages": prompt}
    scores = rewarder.score([asked, asked], answers)
    told = json.loads(predictions[0]["text"])
    assert [score.mean for score in scores] == pytest.approx(told["scores"], abs=2e-4)
    assert [score.spread for score in scores] == pytest.approx(told["spreads"], abs=2e-4)
    assert rewarder.score([], []) == []


def packaged(made: SimpleNamespace, parent: Path, prepared: Path, place: Path) -> Path:
    """The folder that others load, by way of package."""
    from tasks.files import write_json
    from tasks.models import reward

    figures = {"rows": 8, "tuned": {"valid": 1.0}, "parent": {"valid": 0.5}}
    write_json(place / "metrics.json", figures)
    write_json(
        place / "intervals.json", {"confidence": 0.95, "tuned": {"valid": [0.9, 1]}, "parent": {"valid": [0, 1]}}
    )
    parts = (place / "metrics.json", place / "intervals.json", place / "adapter", place / "weights", place / "card.md")
    package(Package(max_divergence=0.5), parent, made.adapter, prepared, *parts)
    reward.write(place / "weights", place / "adapter", place / "rewarder")
    return place / "rewarder"


def test_heads_are_centred_and_learn_from_samples_of_their_own(made, parent, prepared):
    from tasks.models import reward

    model, reader = tuned.load(parent, made.adapter), tuned.tokenizer(parent, made.adapter)
    dialogues = [tokens for row in read_jsonl(prepared / "train.jsonl") for tokens in reader.choice(row).dialogues]
    values = reward.rewards(model, reader.pad_token_id, dialogues)
    assert values.shape == (192, 3)
    spread = values.std().item()
    assert (values.mean(0).abs() < spread / 2).all()  # the same zero, or their differences would mean nothing
    assert (values.std(1).mean() > 1e-4 * spread).item()
    draws = [reward.bootstrap(f"r{number}", 3) for number in range(2000)]
    for head in zip(*draws, strict=True):
        assert sum(head) / 2000 == pytest.approx(1, abs=0.08)
        assert sum(count == 0 for count in head) / 2000 == pytest.approx(math.exp(-1), abs=0.05)
    assert reward.bootstrap("r1", 1) == [1] and len(set(map(tuple, draws))) > 20


def test_of_a_dialogue_that_is_too_long_for_an_encoder_its_end_is_read(encoder):
    reader = dialogue_reader.load(encoder)
    row = {"id": "1", "messages": [{"role": "user", "content": "a lamp " * 200}], "answer": "", "row": {}}
    one, other = (reader.tokens(row, answer) for answer in ("big", "red"))
    assert len(one) == len(other) == 64 and one[0] == other[0] == 2 and one[-2] != other[-2]


def test_what_is_no_reward_model_is_refused_in_a_sentence(base, made, tmp_path):
    from tasks.models import reward

    with pytest.raises(AnnealError, match="holds no reward model; name a row of models whose objective is"):
        reward.load(base)
    other = sequences.make_base(tmp_path / "other")
    with pytest.raises(AnnealError, match="holds a model that reads a text and writes another, and a reward model"):
        reward.load(other)
    kind = read_json(made.adapter / "head.json")
    assert kind["kind"] == "reward" and kind["classes"] == {"reward": ["1", "2", "3"]}


def test_places_have_names():
    assert choices.places(4) == ("first", "second", "third", "4th")
    assert [choices.places(23)[n - 1] for n in (11, 12, 13, 21, 22, 23)] == [
        "11th", "12th", "13th", "21st", "22nd", "23rd"
    ]  # fmt: skip


def test_the_order_says_nothing_about_the_better_answer_and_is_that_of_the_reversed_pair():
    order, place = choices.in_order("Tea?", "Yes.", "No.")
    again, other = choices.in_order("Tea?", "No.", "Yes.")
    assert order == again and {place, other} == set(choices.PAIR)
    firsts = [choices.in_order(f"Question {n}?", "I do not know.", f"{n}.")[1] == "first" for n in range(2000)]
    assert sum(firsts) / 2000 == pytest.approx(0.5, abs=0.05)
