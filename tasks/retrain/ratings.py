"""Rated answers from thumbs, for `kto` and for nothing else: a thumb says whether an answer was liked, and never
becomes a label or a row that sft learns from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from sqlalchemy import Engine

from tasks.dataset.rows import Message
from tasks.dialogues.messages import Kind, kind_of
from tasks.files import sha256, write_json, write_jsonl
from tasks.params import Params
from tasks.retrain import lineage
from tasks.retrain.asked import TemplatesOf, answer_of, prompt_of, why_no_answer
from tasks.retrain.invert import columns_of_input
from tasks.retrain.sift import Candidate, Rules, Sifted, sift
from tasks.retrain.thumbs import Rated, rated
from tasks.stages.prepare.labels import asked_columns, question
from tasks.stages.prepare.params import Prepare
from tasks.stages.prepare.rows import Templates
from tasks.texts.clean import clean, folded
from tasks.texts.template import columns as columns_of

KIND = "ratings"
WORDS = {1: "good", -1: "bad"}  # as the shape `rated` reads them
PRAISED = "it was rated good, and corrected"
DISAGREE = "people rate this answer differently"
REVERSE = "the same answer to the same question is rated otherwise elsewhere"


@dataclass(frozen=True)
class Rating:
    """An answer of a version, and whether it was liked."""

    request: str
    prompt: tuple[Message, ...]
    answer: str
    word: str  # one of WORDS

    @property
    def subject(self) -> tuple[str, str]:
        """Question and answer in the form in which texts that look alike are equal."""
        asked = "\n".join(turn["content"] for turn in self.prompt if turn["role"] == "user")
        return folded(asked), folded(self.answer)

    def stored(self) -> dict[str, object]:
        """The row of a file that the shape `rated` reads."""
        turns = [*self.prompt, {"role": "assistant", "content": self.answer}]
        return {"id": f"rating-{self.request}", "messages": turns, "label": self.word}


@dataclass(frozen=True)
class RatingHarvest:
    """The result of a harvest of thumbs, in rows, over those that no earlier one had seen."""

    file: str | None = None
    taken: int = 0
    quarantined: int = 0
    waiting: int = 0
    skipped: int = 0

    def words(self) -> str:
        """The result as one clause."""
        counts = {"quarantined": self.quarantined, "waiting": self.waiting, "skipped": self.skipped}
        parts = [f"{self.taken} ratings", *(f"{count} {name}" for name, count in counts.items() if count)]
        return ", ".join(parts)


def harvest_ratings(engine: Engine, params: Params, task: str, now: float, templates_of: TemplatesOf) -> RatingHarvest:
    """Write the thumbs of `task` since the last harvest as a file of rated answers, with their lineage.

    They are sifted as corrections are: many alike, one key's surplus, what redaction left too little of.
    """
    name = params.main_dataset(task)
    done = lineage.harvested_requests(name, KIND)
    new = {request: each for request, each in rated(engine, task).items() if request not in done}
    if not new:
        return RatingHarvest()
    form, source = params.datasets[name].templates, lineage.ratings_folder(task)
    similarity = cast(Prepare, params.datasets[name].prepare).near_duplicate_similarity
    rules = Rules(("text", "answer"), (), ("answer",), {}, similarity, params.retrain.max_share_of_key)
    known = [of_stored(row) for row in lineage.stored_rows(source)]
    ratings, skipped = _ratings(new, form, templates_of)
    candidates = _with_texts([_candidate(new[rating.request], rating) for rating in ratings], new, form)
    sifted = _without_contradictions(sift(candidates, [], rules), ratings, known)
    sifted.skipped += [_candidate(new[request], None, why) for request, why in skipped.items()]
    return _write(sifted, ratings, name, task, source, now)


def _ratings(
    new: Mapping[str, Rated], form: Templates, templates_of: TemplatesOf
) -> tuple[list[Rating], dict[str, str]]:
    """(ratings, {request: why it makes none})."""
    ratings, skipped = list[Rating](), dict[str, str]()
    for request, each in new.items():
        thumb = each.thumb
        kind = kind_of(thumb.input, form, thumb.path, thumb.finish_reason)
        why = why_no_answer(thumb) if kind is Kind.TASK else f"it did not follow the model's template ({kind})"
        why = why or ("" if each.is_agreed else DISAGREE)
        why = why or (PRAISED if each.is_corrected and thumb.thumb > 0 else "")
        prompt = why or prompt_of(thumb, templates_of)
        if isinstance(prompt, str):
            skipped[request] = prompt
        else:
            ratings.append(Rating(request, tuple(prompt), clean(answer_of(thumb)), WORDS[thumb.thumb]))
    return ratings, skipped


def _candidate(each: Rated, rating: Rating | None, *reasons: str) -> Candidate:
    thumb = each.thumb
    row = {"text": rating.prompt[-1]["content"], "answer": rating.answer, "rating": rating.word} if rating else {}
    about = (thumb.version, thumb.template_sha256, thumb.requested_at)
    return Candidate(thumb.request_id, thumb.key_id, thumb.at, row, row.get("text", ""), *about, reasons)


def _with_texts(candidates: list[Candidate], new: Mapping[str, Rated], form: Templates) -> list[Candidate]:
    """Set the texts to what the person wrote, where the template around it can be taken away."""
    inputs = columns_of(form["user"])
    cells = {
        candidate.request: columns_of_input(thumb.input, form, inputs, (), thumb.path, thumb.finish_reason)
        for candidate in candidates
        for thumb in (new[candidate.request].thumb,)
    }
    asked = asked_columns([row for row in cells.values() if row], form["user"])
    texts = {request: question(row, asked) for request, row in cells.items() if row}
    return [replace(candidate, text=texts.get(candidate.request, candidate.text)) for candidate in candidates]


def _without_contradictions(sifted: Sifted, ratings: Sequence[Rating], known: Sequence[Rating]) -> Sifted:
    """Set aside what rates the same answer to the same question otherwise than another rating, new or old."""
    words: dict[tuple[str, str], set[str]] = {}
    by_request = {rating.request: rating for rating in ratings}
    taken = [by_request[candidate.request] for candidate in sifted.taken]
    for rating in (*known, *taken):
        words.setdefault(rating.subject, set()).add(rating.word)
    reverse = {rating.request for rating in taken if len(words[rating.subject]) > 1}
    sifted.quarantined += [replace(each, reasons=(REVERSE,)) for each in sifted.taken if each.request in reverse]
    sifted.taken = [each for each in sifted.taken if each.request not in reverse]
    return sifted


def of_stored(row: Mapping[str, object]) -> Rating:
    """The rating in a row of an earlier file."""
    turns = cast(list[Message], row["messages"])
    return Rating(str(row["id"]), tuple(turns[:-1]), turns[-1]["content"], str(row["label"]))


def _write(sifted: Sifted, ratings: Sequence[Rating], name: str, task: str, source: Path, now: float) -> RatingHarvest:
    """Write the quarantine first, then the rows, and the lineage last."""
    by_request = {rating.request: rating for rating in ratings}
    number, home = f"{lineage.next_number(name, source, KIND):04}", lineage.folder(name)
    aside = [*sifted.quarantined, *sifted.waiting]
    if aside:
        rows = [{"request": each.request, "key": each.key, "reasons": list(each.reasons), **each.row} for each in aside]
        write_jsonl(home / f"quarantine-{KIND}-{number}.jsonl", rows)
    file = source / f"{KIND}-{number}.jsonl" if sifted.taken else None
    if file:
        write_jsonl(file, [by_request[candidate.request].stored() for candidate in sifted.taken])
    written = {"file": str(file) if file else None, "sha256": sha256(file) if file else None}
    kept = {group: [lineage.entry(each) for each in getattr(sifted, group)] for group in lineage.GROUPS}
    if any(kept[group] for group in lineage.DONE):
        write_json(home / f"{KIND}-{number}.json", {"task": task, "dataset": name, "at": now, **written, **kept})
    return RatingHarvest(written["file"], *(len(kept[group]) for group in lineage.GROUPS))
