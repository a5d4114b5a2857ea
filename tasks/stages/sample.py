"""Samples several answers to each of some rows from a base or a tuned model, as the stuff that preferences are made of.

What is written is kept at once in a journal beside the checkpoints, so that a run that was killed goes on from there.
"""

import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks import progress, stage
from tasks.dataset import sampled
from tasks.dataset.rows import Prepared
from tasks.dataset.sampled import SampledAnswer
from tasks.device import seed_everything
from tasks.dialogues.chat import decode_answer, load_tokenizer
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, sha256, whole_directory, write_json, write_jsonl
from tasks.inference.answers import load_body
from tasks.inference.engine.choice import of_parent
from tasks.inference.sampling import Sampled, Sampling, write_samples
from tasks.journal import Journal
from tasks.section import Section

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

JOURNAL = "samples.jsonl"  # in the folder of checkpoints
Temperature = Annotated[float, Field(ge=0, le=5, description="0: the likeliest tokens")]


class Sample(Section):
    """A row of `samples`: several answers of a model to rows of a dataset."""

    model: str = Field(description="row of bases or models that answers")
    dataset: str = Field(description="row of datasets, or made of one, whose questions are asked")
    split: Literal["train", "validation", "test"] = Field(description="the split whose rows are asked")
    answers: Annotated[int, Field(ge=1, le=64, description="answers to each row")] = 4
    temperatures: list[Temperature] = Field(
        default=[1.0], min_length=1, description="of the answers, one after the other and from the beginning again"
    )
    rows: Annotated[int, Field(ge=1, description="rows, chosen by the seed; by default all of the split")] | None = None
    seed: int = Field(default=42, ge=0, description="for the choice of rows and for every answer")
    max_new_tokens: Annotated[int, Field(ge=1, le=100_000, description="tokens of the longest answer")] = 128
    per_device_eval_batch_size: Annotated[
        int, Field(ge=1, le=4096, description="answers written at once; fewer if they are long")
    ] = 64
    engine: Literal["auto", "transformers", "vllm"] = Field(
        default="auto",
        description="what writes; auto: vLLM on a GPU where it supports the model, transformers otherwise",
    )

    @property
    def each(self) -> tuple[float, ...]:
        """The temperature of each answer to a row."""
        return tuple(self.temperatures[number % len(self.temperatures)] for number in range(self.answers))

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.each.count(0) > 1:
            raise ValueError(
                f"temperatures give {self.each.count(0)} of the {self.answers} answers temperature 0, at which all "
                "are the same; raise them, or ask for fewer answers"
            )
        if len(self.temperatures) > self.answers:
            raise ValueError(
                f"temperatures names {len(self.temperatures)}, and answers is {self.answers}, so the last are never "
                "used; leave them out, or ask for more answers"
            )
        return self


def sample(params: Sample, weights: Path, prepared: Path, journal: Path, out: Path, report: Path) -> None:
    """Write `out/samples.jsonl`: rows of a split, each with `answers`, the given beginning included; figures to
    `report/sample.json`, and seconds to `report/timing.json`.

    Raises AnnealError if there are fewer rows than asked for.
    """
    rows = chosen(params, read_jsonl(prepared / f"{params.split}.jsonl"))
    _refuse_unmerged(params, weights)
    seed_everything(params.seed)
    tokenizer, started = load_tokenizer(weights), time.monotonic()
    work = Journal(journal / JOURNAL, _key(params, weights, rows))
    known = len(_written(work))
    if known:
        print(f"sample: {known * params.answers} answers of an earlier run are kept", file=sys.stderr, flush=True)
    with work.open():
        model, writer = load_body(weights), of_parent(params.engine, weights)
        engine = write_samples(model, tokenizer, rows, _sampling(params, work), "sample", writer)
    seconds, new = time.monotonic() - started, (len(rows) - known) * params.answers
    if new:
        print(progress.line("sample", new, new, seconds), file=sys.stderr, flush=True)
    texts = [_texts(params, tokenizer, row, answers) for row, answers in zip(rows, _in_order(work), strict=True)]
    pairs = zip(rows, texts, strict=True)
    with whole_directory(out) as folder:
        write_jsonl(folder / sampled.FILE, [{**row, "answers": answers} for row, answers in pairs])
    write_json(report / "sample.json", figures(texts))
    write_json(report / "timing.json", {"seconds": seconds, "answers": new, "engine": engine})
    work.remove()


def _sampling(params: Sample, work: Journal) -> Sampling:
    """How the rows are answered that the journal `work` lacks."""
    return Sampling(
        params.each,
        params.seed,
        params.max_new_tokens,
        params.per_device_eval_batch_size,
        known=frozenset(_written(work)),
        keep=lambda written: work.keep([[place, answers] for place, answers in written.items()]),
    )


def _texts(params: Sample, tokenizer: "Tokenizer", row: Prepared, answers: Sequence[Sampled]) -> list[SampledAnswer]:
    return [
        {
            "text": row.get("given", "") + decode_answer(tokenizer, answer.tokens),
            "temperature": temperature,
            "tokens": len(answer.tokens),
            "finished": answer.finished,
        }
        for answer, temperature in zip(answers, params.each, strict=True)
    ]


def chosen(params: Sample, rows: Sequence[Prepared]) -> list[Prepared]:
    """The rows that are asked, in the order of the split: as many as `rows`, chosen by the hash of seed and id, so that
    more rows include these; AnnealError if there are fewer.
    """
    if params.rows is None:
        return list(rows)
    if params.rows > len(rows):
        raise AnnealError(
            f"sample: rows is {params.rows}, and the {params.split} split of {params.dataset} has {len(rows)}; lower "
            "it, or leave it out for all."
        )
    order = sorted(rows, key=lambda row: hashlib.sha256(f"{params.seed}\n{row['id']}".encode()).digest())
    first = {row["id"] for row in order[: params.rows]}
    return [row for row in rows if row["id"] in first][: params.rows]


def figures(texts: Sequence[Sequence[SampledAnswer]]) -> dict[str, float]:
    """What sampling came to: rows, answers, the share that was cut off and the share that is empty, tokens, and
    distinct answers to a row (1: all differ).
    """
    every = [answer for of_row in texts for answer in of_row]
    distinct = sum(len({answer["text"] for answer in of_row}) for of_row in texts)
    return {
        "rows": len(texts),
        "answers": len(every),
        "cut_off": sum(not answer["finished"] for answer in every) / len(every),
        "empty": sum(answer["tokens"] == 0 for answer in every) / len(every),
        "tokens": sum(answer["tokens"] for answer in every) / len(every),
        "distinct": distinct / len(every),
    }


def _written(journal: Journal) -> Mapping[int, list[Sampled]]:
    """{place of a row: its answers} so far."""
    return {place: [Sampled(*answer) for answer in answers] for line in journal.lines for place, answers in line}


def _in_order(journal: Journal) -> list[list[Sampled]]:
    return [answers for _, answers in sorted(_written(journal).items())]


def _key(params: Sample, weights: Path, rows: Sequence[Prepared]) -> str:
    """A hash of all that the answers depend on."""
    parts = [params.model_dump_json(), sha256(weights), json.dumps(rows, ensure_ascii=False)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _refuse_unmerged(params: Sample, weights: Path) -> None:
    if kind := read_json(weights / "source.json").get("not_merged"):
        raise AnnealError(
            f"sample: what tuner.kind {kind['kind']} learnt in {params.model} cannot be merged, so {weights} holds no "
            "weights to sample from; sample from a model of another tuner."
        )


if __name__ == "__main__":
    stage.main(sample, Sample, "samples.{row}")
