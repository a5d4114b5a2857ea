"""The losses of pairs and of rated answers are those that paper, pencil and trl give, whatever the batches are."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.dataset import compared
from tasks.dialogues.chat import load_tokenizer
from tasks.errors import AnnealError, ParamsError
from tasks.models import lm
from tasks.objectives import dpo, kto, orpo
from tasks.section import parse
from tests.tasks import matrix

pytestmark = pytest.mark.slow  # torch is loaded

RATIOS = torch.tensor([2.0, -1.0, 0.5, 0.5])  # of two chosen answers, then of two rejected ones
LENGTHS = torch.tensor([4, 2, 5, 1])
MARGINS = (1.5, -1.5)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_dpo_is_the_log_sigmoid_of_the_margin():
    found = dpo.losses(dpo.Params(kind="dpo", beta=0.3), RATIOS, LENGTHS)
    assert found.tolist() == pytest.approx([-math.log(sigmoid(0.3 * margin)) for margin in MARGINS], abs=1e-6)


def test_robust_dpo_is_that_of_flipped_pairs_taken_away():
    params, wrong = dpo.Params(kind="dpo", loss_type="robust", beta=0.3, label_smoothing=0.2), 0.2
    right = [
        ((wrong - 1) * math.log(sigmoid(0.3 * margin)) + wrong * math.log(sigmoid(-0.3 * margin))) / (1 - 2 * wrong)
        for margin in MARGINS
    ]
    assert dpo.losses(params, RATIOS, LENGTHS).tolist() == pytest.approx(right, abs=1e-6)


def test_ipo_is_the_square_of_what_the_margin_a_token_lacks():
    found = dpo.losses(dpo.Params(kind="dpo", loss_type="ipo", beta=0.25), RATIOS, LENGTHS)
    right = [(2.0 / 4 - 0.5 / 5 - 2) ** 2, (-1.0 / 2 - 0.5 / 1 - 2) ** 2]
    assert found.tolist() == pytest.approx(right, abs=1e-6)


@pytest.mark.parametrize("settings", [{"loss_type": "robust"}, {"label_smoothing": 0.1}])
def test_wrong_preferences_and_their_loss_go_together(settings):
    with pytest.raises(ParamsError, match="go together: set both, or none"):
        parse(dpo.Params, {"kind": "dpo", **settings}, "models.mine.train.objective")


def test_orpo_is_the_odds_ratio_of_mean_log_probabilities():
    means = torch.tensor([-0.5, -2.0, -1.0, -0.2])
    odds = [mean - math.log(1 - math.exp(mean)) for mean in means.tolist()]
    right = [-0.4 * math.log(sigmoid(odds[place] - odds[place + 2])) for place in range(2)]
    assert orpo.losses(orpo.Params(kind="orpo", beta=0.4), means).tolist() == pytest.approx(right, abs=1e-5)


def test_orpo_of_an_answer_that_is_certain_is_finite_and_so_is_its_gradient():
    means = torch.tensor([0.0, -30.0, -30.0, 0.0], requires_grad=True)
    loss = orpo.losses(orpo.Params(kind="orpo"), means).sum()
    loss.backward()
    assert loss.isfinite() and means.grad.isfinite().all()


def test_kto_weighs_good_and_bad_answers_against_the_divergence():
    good, divergence = torch.tensor([True, False, True, False]), torch.tensor(0.3)
    found = kto.losses(kto.Params(kind="kto", beta=0.5), RATIOS, good, divergence)
    right = [
        1 - sigmoid(0.5 * sign * (ratio - 0.3)) for sign, ratio in zip((1, -1, 1, -1), RATIOS.tolist(), strict=True)
    ]
    assert found.tolist() == pytest.approx(right, abs=1e-6)


@pytest.mark.parametrize(("good", "bad"), [(95, 5), (5, 95), (50, 50), (56, 44), (1, 2)])
def test_good_rows_count_as_much_as_bad_ones_or_a_third_more(good, bad):
    of_good, of_bad = kto.balance([True] * good + [False] * bad)
    assert 1 - 1e-9 <= good * of_good / (bad * of_bad) <= 4 / 3 + 1e-9
    assert good * of_good + bad * of_bad == pytest.approx(good + bad)
    if 1 <= good / bad <= 4 / 3:
        assert (of_good, of_bad) == pytest.approx((1, 1))


def test_weights_that_are_set_are_kept(base):
    params = kto.Params(kind="kto", desirable_weight=2.0, undesirable_weight=0.5)
    made = kto.processor(params, base, [{"rating": True}])
    assert (made.good, made.bad) == (2.0, 0.5)
    with pytest.raises(ParamsError, match="set both, or none"):
        parse(kto.Params, {"kind": "kto", "desirable_weight": 2.0}, "models.mine.train.objective")


@pytest.mark.parametrize(
    ("rating", "words"), [(True, "rated good.*add rows that are rated bad"), (False, "rated bad.*")]
)
def test_ratings_that_are_all_alike_are_refused_in_a_sentence(rating, words):
    with pytest.raises(AnnealError, match=f"all 3 training rows are {words}"):
        compared.check_ratings({"train": [{"rating": rating}] * 3})


def test_rows_without_a_reference_are_refused_in_a_sentence_that_says_what_to_write():
    rows = {"train": [{"id": "7", "reference": [1.0, 2.0]}, {"id": "8"}], "validation": []}
    with pytest.raises(AnnealError, match=r"dpo compares with a reference, and row 8 has no .*write `references: \{"):
        compared.check_references("dpo", rows)


def test_a_prompt_that_reads_differently_before_its_answers_is_refused(monkeypatch):
    def glued(tokenizer: Any, row: dict) -> dict:  # its first token grows into the prompt
        first = 7 if row["answer"].startswith("a") else 8
        return {"id": row["id"], "input_ids": [1, first, 3], "prompt_length": 2}

    monkeypatch.setattr(compared.chat, "encode", glued)
    with pytest.raises(AnnealError, match="row 5: the prompt is not read as the same tokens before both"):
        compared.pair(None, {"id": "5", "answer": "a", "rejected": "b"})
    assert len(compared.pair(None, {"id": "5", "answer": "a", "rejected": "an"})["both"]) == 2


@pytest.fixture(scope="module")
def rows(base, tmp_path_factory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("rows")
    return {kind: matrix.prepared(place / kind, kind, base) for kind in ("dpo", "kto", "orpo")}


@pytest.mark.parametrize("kind", ["dpo", "kto", "orpo"])
def test_a_step_in_several_batches_is_the_step_of_one(kind, base, rows, tmp_path):
    objective = {"kind": kind, **({"loss_type": "apo_zero_unpaired"} if kind == "kto" else {})}  # kto's is of a batch
    parts = ({"per_device_train_batch_size": 8}, {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4})
    trained = []
    for place, batches in enumerate(parts):
        settings = {"num_train_epochs": 1, "learning_rate": 1e-3, "optim": "sgd", "max_grad_norm": 1e9, **batches}
        train = {**matrix.settings(kind, "full", **settings), "objective": objective}
        trainer = matrix.trainer_of(tmp_path / str(place), base, rows[kind], train)
        before = {name: weight.clone() for name, weight in trainer.learnt().items()}
        trainer.args.max_steps = 1
        trainer.train()
        trained.append({name: weight - before[name] for name, weight in trainer.learnt().items()})
    for name, moved in trained[0].items():
        size = moved.abs().max()  # the likelihood in orpo's is a mean over tokens of a batch
        assert (moved - trained[1][name]).abs().max() < size * (0.3 if kind == "orpo" else 1e-2) + 1e-9, name


def batch_of(kind: str, base: Path, rows: Path, params: Any) -> tuple[list[dict], dict]:
    """(encoded rows, a batch of them)."""
    module, read = matrix.kinds.load("tasks.objectives", kind), matrix.read_jsonl(rows / "train.jsonl")
    processor = module.processor(params, base, read)
    encoded = [module.encode(params, processor, row) for row in read[:6]]
    return encoded, module.collate(encoded, processor.pad_token_id)


def models(base: Path) -> tuple[Any, Any]:
    """(the reference, a model that has moved from it)."""
    parent, moved = (lm.parent(base, {"dtype": torch.float32, "attn_implementation": "eager"}) for _ in range(2))
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in moved.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    return parent, moved


@pytest.mark.parametrize("loss_type", ["sigmoid", "ipo", "robust", "sft"])
def test_dpo_is_trls(loss_type, base, rows, tmp_path):
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    settings: dict[str, Any] = {"beta": 0.2, "loss_type": loss_type}
    if loss_type == "robust":
        settings["label_smoothing"] = 0.1
    ours = {**settings, "loss_type": "sigmoid", "sft_weight": 0.7} if loss_type == "sft" else settings
    theirs = (
        {**settings, "loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.7]} if loss_type == "sft" else settings
    )
    params = dpo.Params(kind="dpo", **ours)
    encoded, batch = batch_of("dpo", base, rows["dpo"], params)
    parent, moved = models(base)
    dummy = Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}] * 2)
    trainer = DPOTrainer(
        moved,
        parent,
        arguments(DPOConfig, tmp_path, **theirs),
        train_dataset=dummy,
        processing_class=load_tokenizer(base),
    )
    pairs = []
    for row in encoded:
        prompt = row["both"][0]["prompt_length"]
        answers = {
            name: one["input_ids"][prompt:]
            for name, one in zip(("chosen_ids", "rejected_ids"), row["both"], strict=True)
        }
        pairs.append({"prompt_ids": row["both"][0]["input_ids"][:prompt], **answers})
    wanted = trainer.compute_loss(trainer.model.eval(), trainer.data_collator(pairs)).item()
    assert dpo.loss(params, moved, batch, None).item() == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("loss_type", ["kto", "apo_zero_unpaired"])
def test_kto_is_trls(loss_type, base, rows, tmp_path):
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer

    weights = {"desirable_weight": 1.5, "undesirable_weight": 0.8}
    params = kto.Params(kind="kto", beta=0.2, loss_type=loss_type, **weights)
    encoded, batch = batch_of("kto", base, rows["kto"], params)
    parent, moved = models(base)
    dummy = Dataset.from_list([{"prompt": "a", "completion": "b", "label": place == 0} for place in range(2)])
    config = arguments(
        KTOConfig, tmp_path, beta=0.2, loss_type=loss_type, train_sampling_strategy="sequential", **weights
    )
    trainer = KTOTrainer(moved, parent, config, train_dataset=dummy, processing_class=load_tokenizer(base))
    rated = []
    for row in encoded:
        prompt = row["prompt_length"]
        ids, answers = row["input_ids"], [answer["input_ids"][prompt:] for answer in row["both"]]
        mate = {"KL_completion_ids": answers[1]} if loss_type == "kto" else {}
        rated.append({"prompt_ids": ids[:prompt], "completion_ids": answers[0], "label": row["rating"], **mate})
    wanted = trainer.compute_loss(trainer.model.eval(), trainer.data_collator(rated)).item()
    assert kto.loss(params, moved, batch, None).item() == pytest.approx(wanted, abs=1e-4)


def test_the_odds_ratio_is_trls():
    from types import SimpleNamespace

    from trl.experimental.orpo import ORPOTrainer

    means = torch.tensor([-0.5, -2.0, -0.001, -1.0, -0.2, -3.0])
    holder = SimpleNamespace(beta=0.4, accelerator=SimpleNamespace(device="cpu"))
    theirs = ORPOTrainer.odds_ratio_loss(holder, *means.chunk(2))[0]  # which trl takes away from the likelihood
    assert orpo.losses(orpo.Params(kind="orpo", beta=0.4), means).tolist() == pytest.approx(
        (-theirs).tolist(), abs=1e-4
    )


def arguments(config: Any, folder: Path, **settings: Any) -> Any:
    fixed = {"use_cpu": True, "bf16": False, "report_to": "none", "gradient_checkpointing": False}
    return config(output_dir=str(folder), per_device_train_batch_size=2, **fixed, **settings)
