"""The head over the trained tokens: logits are computed for these only, in parts, and never kept."""

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


class LogProbabilities(torch.autograd.Function):  # type: ignore[misc]
    """log p of each of `targets` after the state `at` which it is predicted; several may follow one state.

    The gradient of x is w(target) - E w, where w are rows of the head and E is over the words by their probabilities.
    The forward pass keeps E w, (tokens, width), so that the backward pass needs no logits, whatever it weighs them by.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: torch.Tensor, weight: torch.Tensor, at: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """x: (tokens, width), weight: (vocabulary, width), at and targets: (targets,) → (targets,) in fp32."""
        picked, means = x.new_empty(len(at), dtype=torch.float32), []
        for start in range(0, len(x), PART):
            likely = torch.log_softmax((x[start : start + PART] @ weight.t()).float(), -1)
            here = (start <= at) & (at < start + PART)
            picked[here] = likely[at[here] - start, targets[here]]
            if ctx.needs_input_grad[0]:
                means.append(likely.exp_().to(x.dtype) @ weight)
        if means:
            ctx.save_for_backward(torch.cat(means), weight, at, targets)
        return picked

    @staticmethod
    def backward(ctx: FunctionCtx, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradient of x, summed in fp32."""
        means, weight, at, targets = ctx.saved_tensors
        of_x = means * -grad.new_zeros(len(means), 1).index_add_(0, at, grad[:, None])
        of_x.index_add_(0, at, weight[targets] * grad[:, None])
        return of_x.to(means.dtype), None, None, None
