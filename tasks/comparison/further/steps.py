"""The steps that run all further contestants."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from tasks.comparison.further import comparison, nearest, neighbours, retrieved
from tasks.comparison.further.place import Place, keep


@dataclass(frozen=True)
class Step:
    """`run` performs the step unless it is done, and returns whether it did anything."""

    name: str
    run: Callable[[], bool]


def of(place: Place) -> Iterator[Step]:
    """The steps in their order; each is to be run before the next is asked for."""
    reasons = {nearest.NAME: nearest.why_none(place), retrieved.NAME: retrieved.why_none(place)}
    if not reasons[nearest.NAME]:
        yield _step(place, neighbours.FOLDER, neighbours.made_of(place), partial(neighbours.find, place))
        yield _step(place, nearest.NAME, nearest.made_of(place), partial(nearest.answer, place))
    if not reasons[retrieved.NAME]:
        yield from _retrieved(place)
    yield Step("comparison", partial(comparison.bring, place, reasons))


def _retrieved(place: Place) -> Iterator[Step]:
    made_of = retrieved.made_of(place)
    for k in retrieved.KS if neighbours.tried_rows(place) else ():
        tried = {**made_of, "k": k, "labels": place.evaluate.labels}
        yield _step(place, f"{retrieved.TRIED}_{k}", tried, partial(retrieved.try_out, place, k))
    k, scores = retrieved.chosen(place)
    work = partial(retrieved.answer, place, k, scores)
    yield _step(place, retrieved.NAME, {**made_of, "k": k}, work)


def _step(place: Place, name: str, made_of: dict[str, object], make: Callable[..., None]) -> Step:
    return Step(name, partial(keep, place.further / name, made_of, make))
