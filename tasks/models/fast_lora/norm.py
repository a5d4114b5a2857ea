"""The norm by root mean square (Zhang and Sennrich 2019, arXiv:1910.07467), in few passes over memory."""

import torch


def forward(h: torch.Tensor, weight: torch.Tensor, epsilon: float) -> tuple[torch.Tensor, torch.Tensor]:
    """h: (tokens, width) → (w h / rms(h), 1 / rms(h) in fp32: (tokens, 1)); rounded where transformers rounds."""
    squares = torch.linalg.vector_norm(h, dim=-1, keepdim=True, dtype=torch.float32).square_()
    rate = squares.div_(h.shape[-1]).add_(epsilon).rsqrt_()
    return torch.mul(h, rate, out=torch.empty_like(h)).mul_(weight), rate


def backward(grad: torch.Tensor, h: torch.Tensor, weight: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
    """The gradient of h: r w g - r³ h mean(w g h); the norm's own weight is frozen."""
    weighed = grad * weight
    share = (weighed * h).mean(-1, keepdim=True, dtype=torch.float32).mul_(rate.pow(3))
    return torch.mul(weighed, rate, out=weighed).addcmul_(h, share.to(h.dtype), value=-1)
