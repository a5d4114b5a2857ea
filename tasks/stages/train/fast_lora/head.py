"""The loss of the trained tokens: logits are computed for these only, in parts, and never kept."""

import torch
from torch.autograd.function import FunctionCtx

PART = 128  # tokens whose logits are in memory together


class SummedLoss(torch.autograd.Function):  # type: ignore[misc]
    """The summed negative log-likelihood of `targets`; the forward pass computes the gradient too, in fp32."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """x: (tokens, width), weight: (vocabulary, width), targets: (tokens,) → a number in fp32."""
        total, grads = x.new_zeros((), dtype=torch.float32), []
        for part, right in zip(x.split(PART), targets.split(PART), strict=True):
            logits = (part @ weight.t()).float()
            likely = torch.log_softmax(logits, -1)
            total -= likely.gather(1, right.unsqueeze(1)).sum()
            if ctx.needs_input_grad[0]:
                shares = torch.exp(likely, out=logits)
                shares[torch.arange(len(right)), right] -= 1
                grads.append(shares.to(x.dtype) @ weight)
        if grads:
            ctx.save_for_backward(torch.cat(grads))
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradient of x."""
        (of_x,) = ctx.saved_tensors
        return of_x * grad.to(of_x.dtype), None, None
