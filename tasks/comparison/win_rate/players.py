"""The two models of a win rate, bases or models that write, and their answers to the same prompts."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tasks.comparison import contestants
from tasks.comparison.contestants import TUNED
from tasks.dataset import answered
from tasks.dataset.rows import Answer, Answered, Prepared, Row
from tasks.files import sha256
from tasks.stages.predict.params import Predict

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase as Tokenizer

    from tasks.inference.answers import Writer


@dataclass(frozen=True)
class Player:
    """A base (`trained` is None, `weights` its own), or what was `trained` on the `weights` of a parent."""

    name: str
    weights: Path
    trained: Path | None
    predict: Predict
    reports: Path
    temperature: float = 0.0  # of its answers; 0: the likeliest tokens
    seed: int = 42

    @property
    def hashes(self) -> dict[str, object]:
        """What its answers rest on."""
        settings = {**self.predict.model_dump(mode="json"), "temperature": self.temperature}
        if self.temperature:
            settings["seed"] = self.seed
        return {
            "weights": sha256(self.weights),
            "trained": sha256(self.trained) if self.trained else None,
            "predict": settings,
        }

    def load(self) -> "nn.Module":
        """The model, on the best device."""
        from tasks.weights.tuned import load

        return load(self.weights, self.trained)

    def tokenizer(self) -> "Tokenizer":
        """The tokenizer of the model."""
        from tasks.weights.tuned import tokenizer

        return cast("Tokenizer", tokenizer(self.weights, self.trained))

    def known(self, rows: Sequence[Prepared]) -> list[Answered] | None:
        """The greedy answers that the stage `predict` has to all of `rows`, in their order; None if it lacks one."""
        if self.trained is None or self.temperature:
            return None
        folder = contestants.folders(self.reports)[TUNED]
        if not (folder / answered.FILE).exists():
            return None
        by_id = {row["id"]: row for row in answered.read(folder)}
        told = [by_id.get(row["id"]) for row in rows]
        if any(answer is None or _question(answer) != _question(row) for answer, row in zip(told, rows, strict=True)):
            return None
        return cast("list[Answered]", told)

    def folder(self, on: str) -> Path:
        """Where its answers to prompts of the dataset `on` are that `predict` has none to."""
        return self.reports / "asked" / (f"{on}-t{self.temperature:g}" if self.temperature else on)


def answers(player: Player, rows: Sequence[Prepared], on: str) -> list[Answered]:
    """Answers to `rows` of the dataset `on`: those of `predict`, or such as were asked for and kept."""
    known = player.known(rows)
    return answered.read(player.folder(on)) if known is None else known


def ask(player: Player, rows: Sequence[Prepared], out: Path) -> None:
    """Write `out/predictions.jsonl` and `out/timing.json`: the player's answers to `rows`."""
    from tasks.inference.engine.choice import of_parent
    from tasks.inference.engine.trained import of_trained
    from tasks.weights import tuned

    params, trained = player.predict, player.trained
    size, most, engine = params.per_device_eval_batch_size, params.max_new_tokens, params.engine
    writer = of_trained(engine, player.weights, trained) if trained else of_parent(engine, player.weights)
    if player.temperature:
        return answered.write(out, _sampled(player, rows, writer), {"temperature": player.temperature})
    told = tuned.answer(player.weights, trained, rows, size, most, player.name, writer=writer)
    timing = {"seconds_per_answer": told.seconds / max(1, len(rows)), "engine": told.engine}
    answered.write(out, told.predictions, timing)


def _sampled(player: Player, rows: Sequence[Prepared], writer: "Writer | None") -> list[Answered]:
    """One answer to each row; two models draw by the same random numbers, so that chance parts them less."""
    from tasks.dialogues.chat import decode_answer
    from tasks.inference.sampling import Sampled, Sampling, write_samples

    written: dict[int, list[Sampled]] = {}
    params = player.predict
    how = Sampling(
        (player.temperature,),
        player.seed,
        params.max_new_tokens,
        params.per_device_eval_batch_size,
        known=frozenset(),
        keep=written.update,
    )
    reader = player.tokenizer()
    write_samples(player.load(), reader, rows, how, player.name, writer)
    told = []
    for place, row in enumerate(rows):
        (answer,) = written[place]
        text = row.get("given", "") + decode_answer(reader, answer.tokens)
        facts: Answer = {"text": text, "token_ids": answer.tokens, "finished": answer.finished, "nll": 0.0, "tokens": 0}
        told.append(answered.with_answer(row, facts))  # the right answers are not scored here
    return told


def fingerprint(rows: Sequence[Row] | Sequence[Answered]) -> str:
    """The SHA-256 of rows."""
    return hashlib.sha256(json.dumps(list(rows), sort_keys=True).encode()).hexdigest()


def _question(row: Row) -> tuple[object, ...]:
    """What a model reads of a row."""
    return row["messages"], row.get("given"), row.get("tools")
