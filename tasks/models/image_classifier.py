"""Linear heads on an image: the module, loading and prediction."""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import nn

from tasks.dataset.rows import Reply
from tasks.models import classifier, vision
from tasks.models.classifier import Classifier
from tasks.models.vision import Pixels, Pooling


class ImageClassifier(Classifier):
    """`body` under a linear head in fp32 for each column of `classes` ({column: its classes})."""

    def __init__(self, body: nn.Module, classes: Mapping[str, Collection[str]], pooling: Pooling) -> None:
        super().__init__(body, classes, pooling, vision.width(body.config))

    pooling: Pooling

    def forward(self, pixel_values: torch.Tensor) -> list[torch.Tensor]:  # type: ignore[override] # of pixels
        """(batch, channels, height, width) → logits (batch, classes) of each column."""
        dtype = next(weight.dtype for weight in self.body.parameters() if weight.is_floating_point())
        hidden = self.body(pixel_values=pixel_values.to(dtype)).last_hidden_state
        with torch.autocast(pixel_values.device.type, enabled=False):
            pooled = vision.pool(hidden, self.pooling)
            return [layer(pooled) for layer in self.heads]


def log_probabilities(model: ImageClassifier, images: Sequence[Pixels]) -> list[torch.Tensor]:
    """(images, classes) of each column, in nats and fp32, from one forward pass."""
    batch = torch.stack([pixels.values for pixels in images]).to(model.heads[0].weight.device)
    with torch.inference_mode():
        return [logits.float().log_softmax(-1) for logits in model(batch)]


def predict(model: ImageClassifier, images: Sequence[Pixels]) -> list[Reply]:
    """The reply to each image, from one forward pass."""
    return list(map(classifier.reply, classifier.by_class(model.classes, log_probabilities(model, images))))
