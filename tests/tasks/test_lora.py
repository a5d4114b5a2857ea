"""The short LoRA forward gives what peft's gives, and its gradients; layers that are not plain stay peft's."""

import pytest
import torch
from peft import LoraConfig, get_peft_model

from tasks.weights.lora import LoraProduct, speed_up

pytestmark = pytest.mark.slow  # torch is loaded


def layers(
    bias: bool = False, dtype: torch.dtype = torch.float32, linear: type = torch.nn.Linear, **config: object
) -> torch.nn.Module:
    """A peft model of two linear layers, whose B is not zero."""
    torch.manual_seed(0)
    net = torch.nn.Sequential()
    net.add_module("one", linear(24, 32, bias=bias))
    net.add_module("two", linear(32, 16, bias=bias))
    model = get_peft_model(net.to(dtype), LoraConfig(r=4, lora_alpha=12, target_modules=["one", "two"], **config))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    return model


def outcome(model: torch.nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """The output, the gradient of x and of every trained weight, for a loss that weighs all outputs differently."""
    model.zero_grad()
    x = x.clone().requires_grad_()
    y = model(x)
    (y.float() * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    return {
        "y": y.detach(),
        "x": x.grad,
        **{name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad},
    }


def distance(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return ((found.double() - wanted.double()).norm() / wanted.double().norm()).item()


@pytest.mark.parametrize("shape", [(24,), (5, 24), (2, 3, 24)], ids=str)
def test_output_and_gradients_are_those_of_peft(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    model = layers()
    wanted = outcome(model, x)
    assert speed_up(model) == 2
    found = outcome(model, x)
    assert found.keys() == wanted.keys() and len(wanted) == 6
    assert all(
        found[name].shape == wanted[name].shape and distance(found[name], wanted[name]) < 1e-6 for name in wanted
    )


def test_in_bf16_it_is_as_near_to_the_exact_product_as_peft_is():
    x = torch.randn(2, 8, 24, generator=torch.Generator().manual_seed(1)).bfloat16()
    model = layers(dtype=torch.bfloat16)
    exact = outcome(layers_like(model), x.double())
    peft = outcome(model, x)
    speed_up(model)
    ours = outcome(model, x)
    assert ours["y"].dtype == torch.bfloat16 and all(
        ours[name].dtype == torch.float32 for name in ours if "lora" in name
    )
    for name in exact:
        assert distance(ours[name], exact[name]) < max(1e-2, 2 * distance(peft[name], exact[name])), name


def layers_like(model: torch.nn.Module) -> torch.nn.Module:
    """The same weights in float64."""
    double = layers().double()
    double.load_state_dict({name: weight.double() for name, weight in model.state_dict().items()})
    return double


def inputs() -> tuple:
    chance = torch.Generator().manual_seed(2)
    x, a, b = (
        torch.randn(*shape, generator=chance, dtype=torch.float64, requires_grad=True)
        for shape in ((2, 3, 5), (2, 5), (4, 2))
    )
    return x, torch.randn(4, 5, generator=chance, dtype=torch.float64), a, b, 1.5


def test_the_gradients_are_the_derivatives():
    # A's and B's gradients are handed over in fp32, so they are exact to 1e-7 only; the tolerance is well above.
    assert torch.autograd.gradcheck(LoraProduct.apply, inputs(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("place", [0, 2, 3], ids=["x", "A", "B"])
def test_the_check_of_derivatives_would_see_a_gradient_without_the_scaling(place):
    class Wrong(LoraProduct):
        @staticmethod
        def backward(ctx, grad):
            found = list(LoraProduct.backward(ctx, grad))
            found[place] = found[place] / ctx.scaling
            return tuple(found)

    assert not torch.autograd.gradcheck(Wrong.apply, inputs(), atol=1e-5, rtol=1e-4, raise_exception=False)


def test_no_gradient_is_made_for_an_input_that_needs_none():
    x, weight, a, b, scaling = inputs()
    LoraProduct.apply(x.detach(), weight, a, b, scaling).sum().backward()
    assert a.grad is not None and b.grad is not None


class Packed(torch.nn.Linear):
    """Stands for a linear layer whose weights are packed: no plain product with them is right."""


NOT_PLAIN = {
    "dropout": {"lora_dropout": 0.1},
    "a bias of the base": {"bias": True},
    "a bias of the adapter": {"lora_bias": True, "bias": True},
    "DoRA": {"use_dora": True},
    "packed weights": {"linear": Packed},
}


@pytest.mark.parametrize("kind", NOT_PLAIN)
def test_a_layer_is_left_to_peft_with(kind):
    model = layers(**NOT_PLAIN[kind]).eval()
    x = torch.randn(3, 24, generator=torch.Generator().manual_seed(1))
    wanted = model(x)
    assert speed_up(model) == 0
    assert torch.equal(model(x), wanted)


def test_a_layer_under_two_adapters_is_left_to_peft():
    model = layers()
    model.add_adapter("other", LoraConfig(r=4, target_modules=["one", "two"]))
    model.base_model.set_adapter(["default", "other"])
    assert speed_up(model) == 0


def test_a_disabled_or_merged_adapter_is_not_added_again():
    model = layers()
    speed_up(model)
    x = torch.randn(3, 24, generator=torch.Generator().manual_seed(1))
    tuned = model(x)
    with model.disable_adapter():
        bare = model(x)
        assert torch.equal(
            bare,
            torch.nn.functional.linear(
                torch.nn.functional.linear(x, model.base_model.model.one.base_layer.weight),
                model.base_model.model.two.base_layer.weight,
            ),
        )
    assert distance(bare, tuned) > 0.1
    model.merge_adapter()
    assert distance(model(x), tuned) < 1e-6


def test_a_models_loss_and_gradients_are_unchanged_by_it(base, tokenizer, prepared):
    from transformers import AutoModelForCausalLM

    from tasks.dataset.encoded import left_padded
    from tasks.dialogues.chat import encode
    from tasks.files import read_jsonl

    torch.manual_seed(0)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    batch = left_padded(
        [encode(tokenizer, row) for row in read_jsonl(prepared / "train.jsonl")[:6]], tokenizer.pad_token_id
    )

    def loss_and_gradients() -> tuple[float, dict]:
        model.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        return loss.item(), {
            name: weight.grad.clone() for name, weight in model.named_parameters() if weight.requires_grad
        }

    wanted, gradients = loss_and_gradients()
    assert speed_up(model) == 14  # 7 linear layers in each of 2 blocks
    found, ours = loss_and_gradients()
    assert found == pytest.approx(wanted, rel=1e-6)
    assert all(distance(ours[name], gradients[name]) < 1e-4 for name in gradients)
