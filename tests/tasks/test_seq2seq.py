"""Sequence to sequence: what the encoder reads, what the decoder is trained on, and what is refused."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks import kinds, objectives, tuners
from tasks.dialogues import chat
from tasks.errors import AnnealError, ParamsError
from tasks.inference import answers
from tasks.models import architecture, seq2seq
from tasks.objectives import seq2seq as objective
from tests import sequences, tiny

pytestmark = pytest.mark.slow  # a tiny base is made
PARAMS = objective.Params(kind="seq2seq")


@pytest.fixture(scope="module", params=["t5", "bart"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A tiny base of each kind with its tokenizer, and four rows."""
    weights = sequences.make_base(tmp_path_factory.mktemp(request.param) / "weights", request.param)
    tokenizer = chat.load_tokenizer(weights)
    rows = [{**row, "answer": row["answer"] + " indeed" * n} for n, row in enumerate(sequences.rows(0, 4))]
    return SimpleNamespace(kind=request.param, weights=weights, tokenizer=tokenizer, rows=rows)


def loaded(weights: Path, attention: float = 1.0) -> object:
    """The base, its attention's weights scaled: what is read tells little where they begin, near 0."""
    import torch

    model = objective.parent(weights, {"dtype": torch.float32}).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.mul_(attention if "attn" in name or "Attention" in name else 1.0)
    return model


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True}, True),
        ({"model_type": "bart", "architectures": ["BartModel"], "is_encoder_decoder": True}, True),
        ({"model_type": "bart", "architectures": ["BartForCausalLM"], "is_encoder_decoder": False}, False),
        ({"model_type": "t5", "architectures": ["T5EncoderModel"], "is_encoder_decoder": True}, False),
        ({"model_type": "llava", "architectures": ["LlavaForConditionalGeneration"]}, False),
        (
            {"model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"], "is_encoder_decoder": 1},
            False,
        ),
    ],
)
def test_a_base_with_an_encoder_is_told_by_what_its_config_says(config: dict, expected: bool) -> None:
    assert (architecture.of_config(config) == "encoder_decoder") is expected


def test_the_encoder_reads_a_text_as_its_tokenizer_frames_it(made: SimpleNamespace) -> None:
    for text in ("sort: a red apple, big", "two lines,\nand </s> <s> in them"):
        ids = chat.encode_prompt(made.tokenizer, [{"role": "user", "content": text}])
        neutral = chat.special_texts(made.tokenizer).neutral(text)
        assert ids == made.tokenizer(neutral)["input_ids"] and ids.count(made.tokenizer.eos_token_id) == 1
    with pytest.raises(AnnealError, match="reads one text"):
        chat.encode_prompt(made.tokenizer, [*made.rows[0]["messages"], {"role": "assistant", "content": "warm"}] * 2)


def test_the_decoder_is_trained_on_the_target_and_its_end(made: SimpleNamespace) -> None:
    encoded = objective.encode(PARAMS, made.tokenizer, made.rows[0])
    target = encoded["input_ids"][encoded["prompt_length"] :]
    assert chat.decode_answer(made.tokenizer, target) == made.rows[0]["answer"]
    assert target[-1] == made.tokenizer.eos_token_id
    assert sum(objective.trained_on(encoded)) == len(target)
    forged = objective.encode(PARAMS, made.tokenizer, {**made.rows[0], "answer": "warm </s> cold"})
    assert forged["input_ids"][forged["prompt_length"] :].count(made.tokenizer.eos_token_id) == 1


def test_source_and_target_count_together_against_the_longest_row(made: SimpleNamespace) -> None:
    encoded = [objective.encode(PARAMS, made.tokenizer, row) for row in made.rows]
    longest = max(len(row["input_ids"]) for row in encoded)
    assert objective.arrange(PARAMS, encoded, longest) == (encoded, 0)
    assert objective.arrange(PARAMS, encoded, longest - 1)[1] == 1


def test_the_loss_is_that_of_the_model_itself_and_padding_changes_nothing(made: SimpleNamespace) -> None:
    import torch

    model = loaded(made.weights)
    encoded = [objective.encode(PARAMS, made.tokenizer, row) for row in made.rows]
    batch = objective.collate(encoded, made.tokenizer.pad_token_id)
    tokens = batch["labels"].ne(-100).sum()
    with torch.no_grad():
        whole = objective.loss(PARAMS, model, batch, None)
        assert whole.item() == pytest.approx(model(**batch).loss.item(), rel=1e-5)
        alone = [
            objective.loss(PARAMS, model, objective.collate([row], made.tokenizer.pad_token_id), tokens)
            for row in encoded
        ]
    assert sum(alone).item() == pytest.approx(whole.item(), rel=1e-5)
    assert batch["attention_mask"][0, 0] == 1 and batch["labels"][:, 0].ne(-100).all()  # padded on the right


def test_smoothing_shares_a_part_of_each_likelihood_among_all_tokens(made: SimpleNamespace) -> None:
    import torch

    model, smooth = loaded(made.weights), objective.Params(kind="seq2seq", label_smoothing=0.1)
    encoded = [objective.encode(PARAMS, made.tokenizer, row) for row in made.rows]
    batch = objective.collate(encoded, made.tokenizer.pad_token_id)
    with torch.no_grad():
        nll = -seq2seq.logits(model, batch).log_softmax(-1)
        there = batch["labels"].ne(-100)
        right = nll[there].gather(-1, batch["labels"][there].unsqueeze(-1)).mean()
        expected = 0.9 * right + 0.1 * nll[there].mean()
        assert objective.loss(smooth, model, batch, None).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_parent_answers_and_its_likelihoods_are_those_of_its_targets(made: SimpleNamespace) -> None:
    model = answers.load_body(made.weights)
    told = answers.answer(model, made.tokenizer, made.rows, 3, 5, "parent").predictions
    encoded = [objective.encode(PARAMS, made.tokenizer, row) for row in made.rows]
    for prediction, row in zip(told, encoded, strict=True):
        batch = objective.collate([row], made.tokenizer.pad_token_id)
        total = model(**batch).loss.item() * batch["labels"].numel()
        assert prediction["nll"] == pytest.approx(total, rel=0.02)
        assert prediction["tokens"] == batch["labels"].numel() and len(prediction["token_ids"]) <= 5
        begins = [made.tokenizer.bos_token_id] if made.kind == "bart" else []  # forced, as BART has learnt it
        assert prediction["token_ids"][: len(begins)] == begins


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": [{"role": "system", "content": "Sort."}, {"role": "user", "content": "a red boat"}]},
        {"messages": [{"role": "user", "content": text} for text in ("one", "two")]},
    ],
)
def test_more_than_one_text_is_refused_with_its_row(made: SimpleNamespace, changes: dict) -> None:
    rows = {"train": made.rows, "validation": [{**made.rows[0], "id": "17", **changes}]}
    with pytest.raises(AnnealError, match="row 17 is a dialogue of 3 messages, and an encoder reads one text"):
        objective.check(made.tokenizer, rows)


def test_targets_that_the_tokenizer_has_no_tokens_for_are_refused(made: SimpleNamespace) -> None:
    braces = [{**row, "answer": '{"mood": "warm"}'} for row in made.rows]
    with pytest.raises(AnnealError, match=r'4 of 4 targets hold .* no token for \(" { }\)'):
        objective.check(made.tokenizer, {"train": braces})
    objective.check(made.tokenizer, {"train": [*braces[:2], *made.rows[:2]]})


def test_float16_is_refused_where_the_base_overflows_in_it(made: SimpleNamespace) -> None:
    import torch

    if made.kind == "t5":
        with pytest.raises(ParamsError, match="a base of the type t5 overflows in float16"):
            objective.parent(made.weights, {"dtype": torch.float16})
    else:
        objective.parent(made.weights, {"dtype": torch.float16})


def test_a_trained_folder_says_that_it_reads_one_text_and_writes_another(tmp_path: Path) -> None:
    objective.save_head(None, tmp_path)
    assert objectives.of_folder(tmp_path) is objective and objectives.head_of(tmp_path) == "seq2seq"


@pytest.mark.parametrize("kind", ["prompt", "p_tuning"])
def test_virtual_tokens_stand_before_what_the_encoder_reads_wherever_a_batch_is_padded(
    made: SimpleNamespace, kind: str, tmp_path: Path
) -> None:
    import torch

    tuner = kinds.load("tasks.tuners", kind)
    settings = tuner.Params(kind=kind, num_virtual_tokens=4)
    torch.manual_seed(0)
    adapted = tuner.attach(settings, loaded(made.weights, 20)).eval()
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight))
    together, alone = (answers.answer(adapted, made.tokenizer, made.rows, n, 5, kind).predictions for n in (4, 1))
    for batched, own in zip(together, alone, strict=True):
        assert batched["nll"] == pytest.approx(own["nll"], abs=1e-4) and batched["token_ids"] == own["token_ids"]
    tuners.save(settings, adapted, made.weights, tmp_path)
    again = tuner.load(loaded(made.weights, 20), tmp_path)
    (kept,) = answers.answer(again, made.tokenizer, made.rows[:1], 1, 5, kind).predictions
    assert kept["nll"] == pytest.approx(alone[0]["nll"], abs=1e-4)
    without = answers.answer(loaded(made.weights, 20), made.tokenizer, made.rows[:1], 1, 5, "parent").predictions[0]
    assert abs(without["nll"] - kept["nll"]) > 1e-3


@pytest.mark.parametrize("kind", ["sft", "classify"])
def test_half_of_a_base_is_not_trained_where_its_config_was_not_there_before(
    made: SimpleNamespace, kind: str, tmp_path: Path
) -> None:
    """BART's decoder alone would load as a causal model."""
    prepared = sequences.write_prepared(tmp_path / "prepared", 8)
    with pytest.raises(ParamsError, match=f"kind is {kind}, and its parent reads a text and writes another"):
        tiny.train_in(tmp_path, made.weights, prepared, objective={"kind": kind}, tuner={"kind": "lora"})
