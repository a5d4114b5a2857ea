"""How far a model has moved from another on its own answers: the KL divergence, in nats per token.

At each token of the model's own answer, its end included, KL(model ‖ other) is summed over the whole vocabulary, in
fp32 after the head, and averaged over all tokens. Over sampled answers this is the KL of the sequences without the
noise of their log-ratios, and never negative; over greedy answers it is of the places that greedy decoding visits.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NotRequired, TypedDict

from tasks.comparison.win_rate.players import Player
from tasks.dataset.rows import Answered
from tasks.dialogues.chat import encode_question
from tasks.models import seq2seq

if TYPE_CHECKING:
    from torch import Tensor, nn

FILE = "divergence.json"


class Divergence(TypedDict):
    """The summed KL in nats and the number of tokens of each answer, by its row's id; or why there is none."""

    of: NotRequired[dict[str, tuple[float, int]]]
    reason: NotRequired[str]


def divergence(player: Player, other: Player, answers: Sequence[Answered]) -> Divergence:
    """KL(player ‖ other) on the player's own `answers`; only a reason where the two write other tokens."""
    import torch

    ours, theirs = player.load(), other.load()
    if seq2seq.is_encoder_decoder(ours) or seq2seq.is_encoder_decoder(theirs):
        return {"reason": "it is measured of models without an encoder beside what writes"}
    reader = player.tokenizer()
    if reader.get_vocab() != other.tokenizer().get_vocab():
        return {"reason": f"{player.name} and {other.name} have different tokens"}
    sums: dict[str, tuple[float, int]] = {}
    with torch.inference_mode():
        for row in answers:
            answer = [*row["token_ids"], *([reader.eos_token_id] if row["finished"] else [])]
            if answer:
                prompt = encode_question(reader, row)
                first, second = (_log_probabilities(model, prompt, answer) for model in (ours, theirs))
                width = min(first.shape[-1], second.shape[-1])  # an embedding may be padded beyond the tokens
                first, second = first[:, :width], second[:, :width]
                total = float((first.exp() * (first - second)).sum())
                sums[str(row["id"])] = (max(0.0, total), len(answer))
    return {"of": sums}


def _log_probabilities(model: "nn.Module", prompt: Sequence[int], answer: Sequence[int]) -> "Tensor":
    """(tokens of the answer, vocabulary), in nats. A row at a time: no padding stands before a soft prompt."""
    import torch

    ids = torch.tensor([[*prompt, *answer]], device=model.device)
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
    places: Tensor = logits[-len(answer) - 1 : -1].float().log_softmax(-1)
    return places
