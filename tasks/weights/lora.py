"""peft's LoRA layers with one matrix product fewer: the low-rank path is added into the base product's output."""

from collections.abc import Callable

import torch
from torch import nn
from torch.autograd.function import FunctionCtx

START = ("start_a", "start_b")  # buffers of a layer: A₀ and B₀


class LoraProduct(torch.autograd.Function):  # type: ignore[misc]
    """y = x Wᵀ + s (x Aᵀ) Bᵀ (Hu et al. 2021, eq. 3), in the dtype of x; only A and B get gradients."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: torch.Tensor, weight: torch.Tensor, a: torch.Tensor, b: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """x: (…, in), weight: (out, in), a: (r, in), b: (out, r) → (…, out)."""
        rows = x.reshape(-1, x.shape[-1])
        a, b = a.to(x.dtype), (b * scaling).to(x.dtype)
        low = rows @ a.t()
        ctx.save_for_backward(rows, low, weight, a, b)
        ctx.scaling, ctx.shape = scaling, x.shape
        return (rows @ weight.t()).addmm_(low, b.t()).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: FunctionCtx, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of x, A and B; A's and B's are summed in the product's own accumulator and handed over in fp32."""
        rows, low, weight, a, b = ctx.saved_tensors
        grad = grad.reshape(-1, grad.shape[-1])
        grad_low = grad @ b
        grad_x = (grad @ weight).addmm_(grad_low, a).view(ctx.shape) if ctx.needs_input_grad[0] else None
        return grad_x, None, (grad_low.t() @ rows).float(), (grad.t() @ low).float() * ctx.scaling, None


def speed_up(model: nn.Module) -> int:
    """Give each plain LoRA layer of a peft `model` the short forward; the number of layers changed.

    A layer is left to peft when it has a bias, dropout, DoRA, several adapters or packed base weights.
    """
    changed = 0
    for layer in model.modules():
        if is_layer(layer) and is_plain(layer):
            layer.forward = _forward_of(layer)
            changed += 1
    return changed


def start_from_parent(model: nn.Module, init: object) -> None:
    """Start each adapter of a peft `model` from the base weights (PiSSA, OLoRA), which stay as they are.

    peft takes the start out of the base weights, W - s B₀ A₀, rounded to their dtype. Here the start is taken out of
    the adapter's output instead: the model begins as exactly its parent, is the parent when the adapter is off, and
    what is trained is what is kept, see tasks/weights/adapters.py. Other values of `init` change nothing.
    """
    from peft.tuners.lora.layer import Linear

    if init != "olora" and not str(init).startswith("pissa"):
        return
    for layer in model.modules():
        if isinstance(layer, Linear):
            (name,) = layer.active_adapters
            base = layer.get_base_layer()
            weight, base.weight.data = base.weight.data, base.weight.data.clone()
            layer.olora_init(name) if init == "olora" else layer.pissa_init(name, init)
            base.weight.data = weight
            keep_start(layer)
            layer.forward = _forward_from_start(layer)


def keep_start(layer: nn.Module) -> None:
    """Note what the matrices of a LoRA `layer` are now, before training."""
    (name,) = layer.active_adapters
    for which, matrix in ((START[0], layer.lora_A[name]), (START[1], layer.lora_B[name])):
        matrix.weight.data = matrix.weight.data.float().contiguous()
        layer.register_buffer(which, matrix.weight.data.clone(), persistent=False)


def starts(model: nn.Module) -> dict[str, torch.Tensor]:
    """The initial matrices of an adapter, by their names in peft's file; empty where their product was zero."""
    return {
        f"{name}.{matrix}.weight": getattr(layer, which)
        for name, layer in model.named_modules()
        if hasattr(layer, START[0])
        for which, matrix in zip(START, ("lora_A", "lora_B"), strict=True)
    }


def _forward_from_start(layer: nn.Module) -> Callable[..., torch.Tensor]:
    """peft's forward, less the path of the matrices that it started from."""
    (name,) = layer.active_adapters
    full = layer.forward

    def forward(x: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        out: torch.Tensor = full(x, *args, **kwargs)
        if layer.disable_adapters or layer.merged:
            return out
        a, b = (getattr(layer, which).to(x.dtype) for which in START)
        return out - (x @ a.t() @ b.t() * layer.scaling[name]).to(out.dtype)

    return forward


def is_layer(layer: nn.Module) -> bool:
    """Whether it is a linear layer under LoRA."""
    from peft.tuners.lora.layer import Linear

    return isinstance(layer, Linear)


def is_plain(layer: nn.Module) -> bool:
    """Whether a LoRA `layer` is the product of LoraProduct and no more."""
    base = layer.get_base_layer()
    (name, *others) = layer.active_adapters
    return (
        not others
        and type(base) is nn.Linear
        and base.bias is None
        and not base.weight.requires_grad
        and isinstance(layer.lora_dropout[name], nn.Identity)
        and not layer.lora_bias.get(name)
        and not layer.use_dora.get(name)
    )


def _forward_of(layer: nn.Module) -> Callable[..., torch.Tensor]:
    (name,) = layer.active_adapters
    base = layer.get_base_layer()

    def forward(x: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        if (pair := matrices(layer)) is None:
            return base(x)
        return LoraProduct.apply(x.to(base.weight.dtype), base.weight, *pair, layer.scaling[name])

    return forward


def matrices(layer: nn.Module) -> tuple[torch.Tensor, torch.Tensor] | None:
    """A and B of a plain LoRA `layer`, with what it started from taken out; None where its adapter is off or merged."""
    if layer.disable_adapters or layer.merged:
        return None
    (name,) = layer.active_adapters
    a, b = layer.lora_A[name].weight, layer.lora_B[name].weight
    if hasattr(layer, START[0]):
        return torch.cat([a, layer.start_a]), torch.cat([b, -layer.start_b], 1)
    return a, b
