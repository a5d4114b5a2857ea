"""Moves aliases in the registry, all or nothing: the only module that does. What moves is decided
in tasks/versions/promotion.py.

A move is several calls to the registry and one to the records, and a process may die, or either may stop answering,
between any two. So the whole move is written down first, as a tag of the registered model, and that tag is what makes
it happen:

1. the tag: before it nothing has changed, from here on the move will be finished;
2. the aliases in their order (@previous gets the old champion before @champion leaves it, so no alias ever loses it);
3. the version's tags (`canary` last);
4. the decision in the records; when those are away, the tag stays, cut down to the decision that is owed;
5. the tag goes.

Whoever takes the lock next does the steps again: each may be done twice. A move whose version the gate refuses
meanwhile, and that has not reached @champion, is taken back instead.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from tasks.errors import TransientError
from tasks.records import decisions
from tasks.records.decisions import Decision
from tasks.serve.lock import locked
from tasks.versions import registry, tracking
from tasks.versions.registry import Model

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREFIX = "move-"
LONGEST = 500  # characters of a sentence in a move: PostgreSQL keeps 5,000 of such a tag


@dataclass(frozen=True)
class Move:
    """One change of aliases and tags of `task`, with the decision that says why."""

    task: str
    version: str  # whose tags change, and who becomes champion where one does
    aliases: tuple[
        tuple[str, str | None], ...
    ] = ()  # (alias, version or None to take it away), in the order of their setting
    tags: Mapping[str, str | None] = field(default_factory=dict)  # of `version`; None takes one away
    decision: Decision | None = None
    before: Mapping[str, str] = field(default_factory=dict)  # the aliases as they were
    gated: bool = False  # only a version that the gate has passed may get there
    at: float = field(default_factory=time.time)

    @property
    def key(self) -> str:
        """The name of its tag."""
        return f"{PREFIX}{self.at:.6f}"

    @property
    def is_one_call(self) -> bool:
        """True if one call to the registry does it, so that nothing need be written down."""
        return self.decision is None and not self.tags and len(self.aliases) == 1

    @property
    def is_applied(self) -> bool:
        """True if only its decision remains to be written."""
        return not self.aliases and not self.tags


@dataclass
class Held:
    """The registry while its lock is held: no move of the model `task` is half done; `carry_out` updates `models`."""

    client: MlflowClient
    task: str
    models: dict[str, Model]  # `task` and the models beside it, if registered
    finished: tuple[Move, ...] = ()  # interrupted moves that were finished first

    @property
    def model(self) -> Model:
        """The registry's state of `task`."""
        return self.models.get(self.task) or Model(self.task, is_registered=False)


def encode(move: Move) -> str:
    """The move as the text of a tag."""
    value = asdict(move)
    if move.decision is not None:
        value["decision"]["reasons"] = [words[:LONGEST] for words in move.decision.reasons]
    value["tags"] = {name: None if text is None else text[:LONGEST] for name, text in move.tags.items()}
    return json.dumps(value, ensure_ascii=False)


def decode(text: str) -> Move:
    """The move that `encode` wrote."""
    value = json.loads(text)
    decision = value["decision"]
    if decision is not None:
        decision = Decision(**{**decision, "reasons": tuple(decision["reasons"])})
    aliases = tuple((alias, number) for alias, number in value["aliases"])
    return Move(**{**value, "aliases": aliases, "decision": decision})


@contextmanager
def held(task: str, beside: Iterable[str] = ()) -> Iterator[Held]:
    """The model `task` under the lock, with every interrupted move finished first, and the models `beside` it."""
    with locked():
        client = tracking.client()
        model = registry.read(task, client)
        finished = tuple(_finish(client, model, decode(model.tags[key])) for key in unfinished(model))
        if finished:
            model = registry.read(task, client)
        models = [model, *(registry.read(name, client) for name in beside if name != task)]
        registered = {model.name: model for model in models if model.is_registered}
        yield Held(client, task, registered, tuple(move for move in finished if move is not None))


def unfinished(model: Model) -> list[str]:
    """The keys of moves that were interrupted, oldest first."""
    return sorted(key for key in model.tags if key.startswith(PREFIX))


def carry_out(now: Held, move: Move) -> None:
    """Do `move`; AnnealError when the registry stops it, and then the next to take the lock finishes it."""
    if not move.is_one_call:
        with tracking.translated_errors():
            now.client.set_registered_model_tag(move.task, move.key, encode(move))
    _apply(now.client, move)
    now.models[now.task] = after(now.model, move)


def after(model: Model, move: Move) -> Model:
    """The registry's state of `model` once `move` is done. Pure."""
    aliases = {**model.aliases, **dict(move.aliases)}
    versions = dict(model.versions)
    if version := versions.get(move.version):
        tags = {**version.tags, **move.tags}
        changed = {name: text for name, text in tags.items() if text is not None}
        versions[move.version] = replace(version, tags=changed)
    set_aliases = {alias: number for alias, number in aliases.items() if number is not None}
    return replace(model, aliases=set_aliases, versions=versions)


def _finish(client: MlflowClient, model: Model, move: Move) -> Move | None:
    """Finish an interrupted move; returns it, or None if only its decision was missing or it was taken back."""
    waits = move.gated and not move.is_applied and model.aliases.get("champion") != move.version
    if waits and model.version(move.version).tags.get("gate") != "passed":
        _take_back(client, move)
        return None
    _apply(client, move)
    return None if move.is_applied else move


def _take_back(client: MlflowClient, move: Move) -> None:
    words = (
        f"the gate refused version {move.version} before its promotion was finished; the aliases are as they were",
    )
    refusal = Decision(move.task, "promote", "refused", words, {"version": move.version}, move.at)
    as_before = tuple((alias, move.before.get(alias)) for alias, _ in move.aliases)
    _apply(client, replace(move, aliases=as_before, tags={}, decision=refusal))


def _apply(client: MlflowClient, move: Move) -> None:
    with tracking.translated_errors():
        for alias, number in move.aliases:
            if number is None:
                client.delete_registered_model_alias(move.task, alias)
            else:
                client.set_registered_model_alias(move.task, alias, number)
        for name, text in move.tags.items():
            if text is None:
                client.delete_model_version_tag(move.task, move.version, name)
            else:
                client.set_model_version_tag(move.task, move.version, name, text)
    if not move.is_one_call:
        _record_decision(client, move)


def _record_decision(client: MlflowClient, move: Move) -> None:
    """Write the decision and remove the tag. If the records are away, the tag keeps the decision for the next move."""
    try:
        if move.decision is not None:
            decisions.write(move.decision)
    except TransientError as error:
        print(f"the decision is not in the records yet ({error}); the next move of {move.task} writes it", flush=True)
        with tracking.translated_errors():
            owed = replace(move, aliases=(), tags={}, before={}, gated=False)
            client.set_registered_model_tag(move.task, move.key, encode(owed))
        return
    with tracking.translated_errors():
        client.delete_registered_model_tag(move.task, move.key)
