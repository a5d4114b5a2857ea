"""Reward models: a score for each answer to a prompt, learnt from which of two was preferred (Bradley & Terry 1952; as
in Ouyang et al. 2022, arXiv:2203.02155, section 3.5), with margins (Touvron et al. 2023, arXiv:2307.09288, eq. 2).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

from pydantic import Field

from tasks import objectives
from tasks.dataset.encoded import Batch, Encoded
from tasks.dataset.rows import Answer, Prepared, Reply, Row, Score, Splits, as_answer
from tasks.dialogues import choices
from tasks.models import dialogue_reader, encoder
from tasks.models.architecture import Architecture
from tasks.models.dialogue_reader import Choice, DialogueReader
from tasks.weights.layer_groups import Headed

if TYPE_CHECKING:
    from torch import Tensor, nn

summary = "to score answers, from which of two was preferred"
eats = frozenset({"choice"})
head: objectives.Head = "scalar"
architectures: frozenset[Architecture] = frozenset({"encoder", "causal"})
needs_parent = False
shares_prefix = False
rate_share = 0.5  # 1e-4 to 5e-5 for encoders of 22M to 110M
watch = ("eval_loss", False)
packs = objectives.never_packs
parent, body, with_body = encoder.parent, encoder.body, encoder.with_body
load_body, load_tokenizer = encoder.load_body, dialogue_reader.load
in_windows = False  # of a longer dialogue the end is read


class Params(Headed):
    """-log sigmoid(better - other - margin), the mean over pairs and heads; `center_rewards_coefficient` as in trl."""

    kind: Literal["reward"]
    margin: Annotated[
        float, Field(ge=0, le=100, description="by which the better score must be greater, in pairs without their own")
    ] = 0.0
    center_rewards_coefficient: Annotated[
        float, Field(gt=0, le=10, description="weight of (better + other)², which keeps scores around 0")
    ] = 0.01
    ensemble: Annotated[
        int, Field(ge=1, le=64, description="heads; of several, each learns from a bootstrap sample of the pairs")
    ] = 1
    pooling: Literal["auto", "mean", "first", "last"] = Field(
        default="auto", description="which tokens represent a dialogue; auto: mean, or last for a base that writes"
    )


class Compared(Encoded):
    """Both answers to a prompt: `input_ids` are the tokens of the better dialogue, then those of the other."""

    better_length: int  # tokens
    margin: float
    draws: list[int]  # how often each head's bootstrap sample holds the pair


class Pairs(Batch):
    """The better dialogues, then the others."""

    margins: "Tensor"  # (pairs,)
    draws: "Tensor"  # (pairs, heads)


def processor(params: Params, weights: Path, rows: Sequence[Prepared]) -> DialogueReader:
    """The reader of the weights in `weights/`."""
    return dialogue_reader.load(weights)


def check(processor: DialogueReader, rows: Splits) -> None:
    """Raise AnnealError if the chat template of a base that writes does not fit the rows."""
    from tasks.models import lm

    if processor.writes:
        lm.check(processor.tokenizer, {name: list(map(_answered, split)) for name, split in rows.items()})


def _answered(row: Prepared) -> Prepared:
    """`row` as a chat that ends with the better answer."""
    prompt, answers = choices.split(row["messages"])
    return {**row, "messages": prompt, "answer": answers[choices.PAIR.index(choices.better(row))]}


def encode(params: Params, processor: DialogueReader, row: Prepared) -> Compared:
    """Both dialogues."""
    from tasks.models import reward

    dialogues, place = processor.choice(row).dialogues, choices.PAIR.index(choices.better(row))
    better, other = dialogues[place], dialogues[1 - place]
    return {
        "id": row["id"],
        "input_ids": [*better, *other],
        "better_length": len(better),
        "margin": row.get("margin", params.margin),
        "draws": reward.bootstrap(str(row["id"]), params.ensemble),
    }


def arrange(params: Params, encoded: Sequence[Compared], max_length: int) -> tuple[list[Compared], int]:
    """A row for each pair; pairs with a longer dialogue are left out."""
    kept = [row for row in encoded if max(map(len, _dialogues(row))) <= max_length]
    return kept, len(encoded) - len(kept)


def _dialogues(row: Compared) -> tuple[list[int], list[int]]:
    return row["input_ids"][: row["better_length"]], row["input_ids"][row["better_length"] :]


def collate(rows: Sequence[Compared], pad_token_id: int, prefix_length: int = 0) -> Pairs:
    """The better dialogues, then the others; a label of 0 for each pair, so that pairs are counted."""
    import torch

    better, other = zip(*map(_dialogues, rows), strict=True)
    return {
        **encoder.collate([*better, *other], pad_token_id),
        "labels": torch.zeros(len(rows), dtype=torch.long),
        "margins": torch.tensor([row["margin"] for row in rows]),
        "draws": torch.tensor([row["draws"] for row in rows], dtype=torch.float),
    }


def trained_on(encoded: Compared) -> list[bool]:
    """No token: the score is that of a whole dialogue."""
    return [False] * len(encoded["input_ids"])


def loss(params: Params, model: "nn.Module", batch: Batch, num_items: "Tensor | None") -> "Tensor":
    """The sum over pairs of the loss of `Params`, over their number (`num_items`: of all batches of a step)."""
    from torch.nn.functional import logsigmoid

    pairs = cast(Pairs, batch)
    (scores,) = model(input_ids=pairs["input_ids"], attention_mask=pairs["attention_mask"])
    better, other = scores.float().chunk(2)
    preferred = logsigmoid(better - other - pairs["margins"].unsqueeze(1)) * pairs["draws"]
    center = params.center_rewards_coefficient * (better + other) ** 2
    total: Tensor = (center - preferred).mean(1).sum()
    return total / (len(better) if num_items is None else num_items)


def with_head(params: Params, body: "nn.Module", processor: DialogueReader) -> "nn.Module":
    """`body` under new heads, whose weights follow from the seed."""
    from tasks.models import reward

    pooling = encoder.usual_pooling(body) if params.pooling == "auto" else params.pooling
    model: nn.Module = reward.build(body, params.ensemble, pooling)
    return model


def save_head(model: "nn.Module", folder: Path) -> None:
    """head.safetensors and head.json, see tasks/models/classifier.py."""
    from tasks.models import classifier

    classifier.save(model, "reward", folder)


def load_head(body: "nn.Module", trained: Path) -> "nn.Module":
    """`body` under the heads in `trained/`."""
    from tasks.models import reward

    model: nn.Module = reward.load_heads(body, trained)
    return model


def of_text(reader: DialogueReader, text: str) -> Choice:
    """`text` as an answer that follows no prompt; see DialogueReader.choice for those that do."""
    return Choice([reader.encode(text)])


def predict(model: "nn.Module", reader: DialogueReader, inputs: Sequence[Choice]) -> list[Reply]:
    """The reply to each choice, see tasks/models/reward.py."""
    from tasks.models import reward

    scores = reward.score_choices(model, reader.pad_token_id, inputs)
    return [reward.reply(choice, rewards) for choice, rewards in zip(inputs, scores, strict=True)]


def log_probabilities(model: "nn.Module", reader: DialogueReader, rows: Sequence[Row]) -> "list[Tensor]":
    """[(rows, 2)]: of each of two answers that it is the better one, in nats and fp32."""
    import torch

    from tasks.models import reward

    scores = reward.score_choices(model, reader.pad_token_id, [reader.choice(row) for row in rows])
    return [torch.tensor([reward.log_shares(rewards) for rewards in scores])]


def answer_rows(model: "nn.Module", reader: DialogueReader, rows: Sequence[Row]) -> list[Answer]:
    """The model's answer to each of `rows`, see tasks/models/reward.py; `nll` is that of the right place."""
    from tasks.models import reward

    asked = [reader.choice(row) for row in rows]
    answers: list[Answer] = []
    scores = reward.score_choices(model, reader.pad_token_id, asked)
    for row, choice, rewards in zip(rows, asked, scores, strict=True):
        place = choices.PAIR.index(choices.better(row))
        likelihood: Score = {"nll": -reward.log_shares(rewards)[place], "tokens": 1}
        answers.append(as_answer(reward.reply(choice, rewards), likelihood))
    return answers
