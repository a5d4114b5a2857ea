"""Pairs from corrected answers: what a person wrote is chosen, what the version said is rejected.

Only a corrected answer that became a row of the dataset makes a pair, so planted rows, one key's surplus and
contradictions were sifted out before. A pair whose answers differ in a word or two is left out: its log-ratio would be
that of a token or two, which the row teaches as well.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from tasks.dataset.rows import Message
from tasks.files import sha256, write_jsonl
from tasks.formats.answer import AnswerFormat
from tasks.retrain.asked import TemplatesOf, answer_of, prompt_of, why_no_answer
from tasks.retrain.sift import PLACEHOLDER
from tasks.retrain.store import Correction
from tasks.texts.clean import clean, folded
from tasks.texts.redaction import redact

LEAST_CHANGED = 3  # words; fewer count only if they are most of the answer
MOST_OF = 0.5  # share of the longer answer's words
SAME, BARELY, SWAPPED = (
    "both answers say the same",
    "its answers differ in a word or two",
    "another pair says the reverse",
)
KNOWN = "there is such a pair already"
UNDIVIDED = "its answer cannot be divided into what the classifier and the model said"


@dataclass(frozen=True)
class Pair:
    """A preference: the messages that a version was asked with, and two answers."""

    request: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str

    @property
    def answers(self) -> tuple[str, str, str]:
        """Question, chosen and rejected answer in the form in which texts that look alike are equal."""
        question = "\n".join(turn["content"] for turn in self.prompt if turn["role"] == "user")
        return folded(question), folded(self.chosen), folded(self.rejected)

    def stored(self) -> dict[str, object]:
        """The row of a file that the shape `preference` reads: turns throughout, whatever an answer looks like."""
        sides = {"chosen": self.chosen, "rejected": self.rejected}
        turns = {name: [{"role": "assistant", "content": text}] for name, text in sides.items()}
        return {"id": f"pair-{self.request}", "prompt": list(self.prompt), **turns}


@dataclass
class Pairs:
    """The pairs of a harvest, and why other corrections made none, by request."""

    made: list[Pair] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.made or self.dropped)

    def words(self) -> str:
        """The result as one clause."""
        reasons = Counter(self.dropped.values()).most_common()
        left_out = f" ({'; '.join(f'{count} left out: {reason}' for reason, count in reasons)})" if reasons else ""
        return f"{len(self.made)} pairs{left_out}"


def of_stored(row: Mapping[str, Any]) -> Pair:  # a row of JSON
    """The pair in a row of an earlier file."""
    chosen, rejected = (row[name][-1]["content"] for name in ("chosen", "rejected"))
    return Pair(row["id"].removeprefix("pair-"), tuple(row["prompt"]), chosen, rejected)


def write(pairs: Pairs, file: Path) -> dict[str, object]:
    """Write `file` if there are any pairs; return what the lineage keeps of them: the requests, not their texts."""
    if pairs.made:
        write_jsonl(file, [pair.stored() for pair in pairs.made])
    else:
        file.unlink(missing_ok=True)  # of a harvest that was interrupted
    written = {"file": str(file), "sha256": sha256(file)} if pairs.made else {"file": None, "sha256": None}
    return {**written, "made": [pair.request for pair in pairs.made], "dropped": pairs.dropped}


def pairs_of(
    corrections: Iterable[Correction],
    rows: Mapping[str, Mapping[str, str]],
    form: AnswerFormat,
    predicted: Collection[str],
    templates_of: TemplatesOf,
    known: Sequence[Pair] = (),
) -> Pairs:
    """The pairs of `corrections`, whose `rows` (by request) were taken into the dataset; `known` are earlier ones.

    `predicted`: columns that a classifier tells before the version writes the rest. Their correction is the
    classifier's, so both answers keep what it said, and a pair is made only if the rest differs.
    """
    pairs = Pairs()
    for correction in corrections:
        pair = _pair(correction, rows[correction.request_id], form, predicted, templates_of)
        if isinstance(pair, str):
            pairs.dropped[correction.request_id] = pair
        else:
            pairs.made.append(pair)
    return without_contradictions(pairs, known)


def _pair(
    correction: Correction,
    row: Mapping[str, str],
    form: AnswerFormat,
    predicted: Collection[str],
    templates_of: TemplatesOf,
) -> Pair | str:
    """The pair of a correction, or why it makes none, in one clause."""
    if why := why_no_answer(correction):
        return why
    rejected = answer_of(correction)
    model_answer = form.read(rejected)
    if predicted and model_answer is None:
        return UNDIVIDED
    right = {column: redact(row[column]) for column in form.columns if column in row}
    if any(PLACEHOLDER.search(text) for text in right.values()):
        return "its correction holds a redacted part"
    kept = {column: model_answer[column] for column in predicted} if model_answer else {}
    chosen = form.write(right | kept)
    changed, total = _changed(
        _texts(right | kept, form, predicted, chosen), _texts(model_answer, form, predicted, rejected)
    )
    if not changed:
        return SAME
    if changed < LEAST_CHANGED and changed < MOST_OF * total:
        return BARELY
    prompt = prompt_of(correction, templates_of)
    if isinstance(prompt, str):
        return prompt
    return Pair(
        correction.request_id,
        tuple(prompt),
        chosen,
        form.write(model_answer) if kept and model_answer else clean(rejected),
    )


def _texts(answer: Mapping[str, str] | None, form: AnswerFormat, predicted: Collection[str], written: str) -> list[str]:
    """The words of an answer that are compared: those of its columns, but not of the `predicted` ones."""
    texts = [written] if answer is None else [answer[name] for name in form.columns if name not in predicted]
    return [word for text in texts for word in re.findall(r"\w+", folded(text))]


def _changed(ours: Sequence[str], theirs: Sequence[str]) -> tuple[int, int]:
    """(words that differ, words of the longer answer)."""
    spans = SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes()
    changed = sum(max(end - start, to - begin) for kind, start, end, begin, to in spans if kind != "equal")
    return changed, max(len(ours), len(theirs))


def without_contradictions(pairs: Pairs, known: Sequence[Pair]) -> Pairs:
    """Leave out new pairs that swap the answers of another one, both if both are new, and repeated ones."""
    before = {pair.answers for pair in known}
    seen = before | {pair.answers for pair in pairs.made}
    kept, done = list[Pair](), set(before)
    for pair in pairs.made:
        question, chosen, rejected = pair.answers
        if (question, rejected, chosen) in seen:
            pairs.dropped[pair.request] = SWAPPED
        elif pair.answers in done:
            pairs.dropped[pair.request] = KNOWN
        else:
            done.add(pair.answers)
            kept.append(pair)
    pairs.made = kept
    return pairs
