"""Virtual tokens stand right before a row's own, wherever a batch is padded: loss, answers and likelihoods of a row are
the same alone and in company, in training and in asking.
"""

import pytest
import torch

from tasks import objectives, tuners
from tasks.dialogues.chat import encode
from tasks.errors import ParamsError
from tasks.inference.answers import generate
from tasks.inference.likelihood import likelihoods
from tasks.stages.train.fit import make_model
from tasks.stages.train.params import Train
from tests import tiny

pytestmark = pytest.mark.slow  # torch is loaded

KINDS = ("prefix", "projected", "prompt", "p_tuning")


def settings(kind: str, **changes: object) -> Train:
    if kind == "projected":  # a prefix that a network makes
        kind, changes = "prefix", {"prefix_projection": True, **changes}
    return Train(**{**tiny.TRAIN, "tuner": {"kind": kind, "num_virtual_tokens": 7, **changes}, "bf16": False})


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """Rows of very different lengths."""
    rows = tiny.prepared_rows(0, 4)
    for place, row in enumerate(rows):
        row["messages"][-1]["content"] += "\nSize: the same as ever" * 3 * place
    return rows


@pytest.fixture(scope="module", params=KINDS)
def model(base, request) -> torch.nn.Module:
    """In fp32, with virtual tokens that have been moved a long way."""
    torch.manual_seed(1)
    made = make_model(settings(request.param), base, None).eval()
    with torch.no_grad():
        for weight in made.parameters():
            if weight.requires_grad:
                weight.add_(0.3 * torch.randn_like(weight))
    return made


def prompt_of(tokenizer, row: dict) -> list[int]:
    encoded = encode(tokenizer, row)
    return encoded["input_ids"][: encoded["prompt_length"]]


def batch(tokenizer, rows: list[dict]) -> dict:
    sft = objectives.of(settings("prompt").objective)
    return sft.collate([encode(tokenizer, row) for row in rows], tokenizer.pad_token_id)


def test_the_loss_of_a_batch_is_that_of_its_rows_alone(model, tokenizer, rows):
    def summed(part: list[dict]) -> float:
        return model(**batch(tokenizer, part), use_cache=False, num_items_in_batch=1)["loss"].item()

    with torch.no_grad():
        assert summed(rows) == pytest.approx(sum(summed([row]) for row in rows), rel=1e-5)


def by_hand(model: torch.nn.Module, ids: list[int]) -> torch.Tensor:
    """(time, vocabulary): logits of one row without any padding, from peft's own encoder and the bare parent."""
    parent, tokens = model.get_base_model(), torch.tensor([ids])
    learnt = model.get_prompt(1)
    if model.in_cache:
        return parent(input_ids=tokens, past_key_values=learnt).logits[0]
    embedded = torch.cat([learnt, parent.get_input_embeddings()(tokens)], dim=1)
    return parent(inputs_embeds=embedded).logits[0, model.count :]


def test_the_likelihoods_are_those_of_a_plain_forward_pass_over_each_row(model, tokenizer, rows):
    with torch.no_grad():
        scores = likelihoods(model, tokenizer, rows)
        for row, likelihood in zip(rows, scores, strict=True):
            encoded = encode(tokenizer, row)
            ids, start = encoded["input_ids"], encoded["prompt_length"]
            logits = by_hand(model, ids).log_softmax(-1)
            nll = -sum(logits[place - 1, ids[place]].item() for place in range(start, len(ids)))
            assert likelihood["nll"] == pytest.approx(nll, rel=1e-5)


def test_the_greedy_answer_of_a_row_is_the_same_alone_and_in_a_batch_and_token_by_token(model, tokenizer, rows):
    with torch.no_grad():
        together = generate(model, tokenizer, [prompt_of(tokenizer, row) for row in rows], 12)
        for row, answer in zip(rows, together, strict=True):
            assert generate(model, tokenizer, [prompt_of(tokenizer, row)], 12) == [answer]
            ids = prompt_of(tokenizer, row)
            start = len(ids)
            while len(ids) < start + 12:
                ids.append(int(by_hand(model, ids)[-1].argmax()))
                if ids[-1] == tokenizer.eos_token_id:
                    ids.pop()
                    break
            assert ids[start:] == answer[0]
    assert len({tuple(tokens) for tokens, _ in together}) > 1


def test_without_the_virtual_tokens_it_is_the_parent(model, base, tokenizer, rows):
    from transformers import AutoModelForCausalLM

    parent = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    inputs = batch(tokenizer, rows)
    with torch.no_grad(), model.disable_adapter():
        assert torch.allclose(model(**inputs).logits, parent(**inputs).logits, atol=1e-5)
    with torch.no_grad():
        assert not torch.allclose(model(**inputs).logits, parent(**inputs).logits, atol=1e-2)


def test_what_was_saved_answers_as_what_was_trained_and_is_the_same_bytes_each_time(model, base, tmp_path, rows):
    from transformers import AutoModelForCausalLM

    from tasks.dialogues.chat import load_tokenizer
    from tasks.files import sha256

    kind = model.active_peft_config.peft_type.lower().removesuffix("_tuning")
    kind = "projected" if getattr(model.active_peft_config, "prefix_projection", False) else kind
    params = settings("p_tuning" if kind == "p" else kind).tuner
    tuner = tuners.of(params)
    for name in ("a", "b"):
        tuners.save(params, model, base, tmp_path / name)
    assert sha256(tmp_path / "a") == sha256(tmp_path / "b")
    loaded = tuner.load(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), tmp_path / "a").eval()
    assert not any(weight.requires_grad for weight in loaded.parameters())
    tokenizer = load_tokenizer(base)
    with torch.no_grad():
        assert likelihoods(loaded, tokenizer, rows) == [
            pytest.approx(likelihood) for likelihood in likelihoods(model, tokenizer, rows)
        ]
        prompts = [prompt_of(tokenizer, row) for row in rows]
        assert generate(loaded, tokenizer, prompts, 8) == generate(model, tokenizer, prompts, 8)


@pytest.mark.parametrize(
    ("kind", "key"), [("prompt", "prompt_tuning_init_text"), ("prefix", "init_text"), ("projected", "init_text")]
)
def test_a_text_to_begin_with_is_what_it_begins_as(base, tokenizer, kind, key):
    text = "red boat blue lamp"
    ids = tokenizer(text)["input_ids"]
    count = 2 * len(ids) + 1
    model = make_model(settings(kind, **{key: text}, num_virtual_tokens=count), base, None)
    own = tokenizer("green door")["input_ids"]
    with torch.no_grad():
        told = model(input_ids=torch.tensor([own])).logits
        read = model.get_base_model()(input_ids=torch.tensor([[*ids, *ids, ids[0], *own]])).logits[:, count:]
    assert torch.allclose(told, read, atol=1e-4)


def test_a_network_too_narrow_for_its_tokens_begins_as_near_them_as_it_can(base):
    def start(**more: object) -> torch.Tensor:
        torch.manual_seed(3)
        model = make_model(settings("prefix", init_text="red boat", num_virtual_tokens=12, **more), base, None)
        return model.prompt_encoder["default"](torch.arange(12))

    with torch.no_grad():
        right = start()
        apart = [
            (start(prefix_projection=True, encoder_hidden_size=width) - right).norm() / right.norm()
            for width in (4, 12, 64)
        ]
    assert apart[0] > 0.1 and max(apart[1:]) < 1e-3


def test_a_width_without_a_network_is_refused():
    with pytest.raises(ValueError, match="encoder_hidden_size applies to the network of prefix_projection"):
        settings("prefix", encoder_hidden_size=8)


def test_words_drawn_from_the_vocabulary_follow_from_the_seed(base):
    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return make_model(settings("prompt"), base, None).get_prompt(1)

    vocabulary = make_model(settings("prompt"), base, None).get_input_embeddings().weight
    assert torch.equal(drawn(1), drawn(1)) and not torch.equal(drawn(1), drawn(2))
    assert all((vocabulary == token).all(-1).any() for token in drawn(1)[0])


def test_more_virtual_tokens_than_positions_are_refused(base):
    from tasks.weights.targets import without_weights

    tuner = settings("prefix").tuner.model_copy(update={"num_virtual_tokens": 2048})
    assert tuners.of(tuner).problem(tuner, without_weights(base)) == (
        "num_virtual_tokens is 2048, and the base has only 2048 positions; lower it."
    )


def test_a_prefix_under_gradient_checkpointing_is_refused_where_no_check_came_before(base, tokenizer, rows):
    model = make_model(settings("prefix"), base, None).train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    with pytest.raises(ParamsError, match="^params.yaml: train.gradient_checkpointing is true, .*: leave it out"):
        model(**batch(tokenizer, rows))


@pytest.mark.parametrize("kind", ["prompt", "p_tuning"])
def test_embeddings_learn_the_same_under_gradient_checkpointing(base, tokenizer, rows, kind):
    def gradients(checkpointing: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = make_model(settings(kind), base, None).train()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model(**batch(tokenizer, rows), use_cache=False)["loss"].backward()
        return [weight.grad for weight in model.parameters() if weight.requires_grad]

    for ours, theirs in zip(gradients(True), gradients(False), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6) and theirs.any()
