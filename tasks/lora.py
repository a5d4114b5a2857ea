"""peft's LoRA layers with one matrix product less overhead: the low-rank path is added into the base product's
output.
"""

from typing import Any

import torch


class LoraProduct(torch.autograd.Function):
    """y = x Wᵀ + s (x Aᵀ) Bᵀ (Hu et al. 2021, eq. 3), in the dtype of x; only A and B get gradients."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, a: torch.Tensor, b: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """x: (…, in), weight: (out, in), a: (r, in), b: (out, r) → (…, out)."""
        rows = x.reshape(-1, x.shape[-1])
        a, b = a.to(x.dtype), (b * scaling).to(x.dtype)
        low = rows @ a.t()
        ctx.save_for_backward(rows, low, weight, a, b)
        ctx.scaling, ctx.shape = scaling, x.shape
        return (rows @ weight.t()).addmm_(low, b.t()).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple:
        """Gradients of x, A and B; A's and B's are summed in the product's own accumulator and handed over in fp32."""
        rows, low, weight, a, b = ctx.saved_tensors
        grad = grad.reshape(-1, grad.shape[-1])
        grad_low = grad @ b
        grad_x = (grad @ weight).addmm_(grad_low, a).view(ctx.shape) if ctx.needs_input_grad[0] else None
        return grad_x, None, (grad_low.t() @ rows).float(), (grad.t() @ low).float() * ctx.scaling, None


def speed_up(model: Any) -> int:
    """Give each plain LoRA layer of a peft `model` the short forward; the number of layers changed.

    A layer is left to peft when it has a bias, dropout, DoRA, several adapters or packed base weights.
    """
    from peft.tuners.lora.layer import Linear

    changed = 0
    for layer in model.modules():
        if isinstance(layer, Linear) and _is_plain(layer):
            layer.forward = _forward_of(layer)
            changed += 1
    return changed


def _is_plain(layer: Any) -> bool:
    base = layer.get_base_layer()
    (name, *others) = layer.active_adapters
    return (
        not others
        and type(base) is torch.nn.Linear
        and base.bias is None
        and not base.weight.requires_grad
        and isinstance(layer.lora_dropout[name], torch.nn.Identity)
        and not layer.lora_bias.get(name)
        and not layer.use_dora.get(name)
    )


def _forward_of(layer: Any) -> Any:
    (name,) = layer.active_adapters
    base, a, b = layer.get_base_layer(), layer.lora_A[name], layer.lora_B[name]

    def forward(x: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        if layer.disable_adapters or layer.merged:
            return base(x)
        return LoraProduct.apply(x.to(base.weight.dtype), base.weight, a.weight, b.weight, layer.scaling[name])

    return forward
