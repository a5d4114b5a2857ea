"""Answers that people corrected or rated, and harvests of them."""

from pathlib import Path

from sqlalchemy import Engine

from tasks.params import Params
from tasks.retrain.harvest import Harvest, harvest
from tasks.retrain.ratings import RatingHarvest, harvest_ratings
from tests.tasks.corrections import NOW, ask, params, ticket

PAIRS, RATINGS = Path("data/harvested/triage/pairs"), Path("data/harvested/triage/ratings")
TEMPLATES = {"system": "Be kind.", "user": "{{ subject }} / {{ body }}", "answer": ["category", "reply"]}
WRONG = "No idea what you mean."


def said(category: str, reply: str) -> str:
    """An answer as a version writes it."""
    return f'{{"category": "{category}", "reply": "{reply}"}}'


def correct(engine: Engine, request: str, seed: int, output: str | None, key: str = "k1", **more: object) -> None:
    """A ticket that was answered with `output` and corrected to its right answer."""
    row = ticket(seed, **{name: text for name, text in more.items() if name in ticket(0)})
    logged = {name: value for name, value in more.items() if name not in row}
    ask(
        engine,
        request,
        {name: row[name] for name in ("subject", "body")},
        {name: row[name] for name in ("category", "reply")},
        key,
        output=output,
        **logged,
    )


def take(engine: Engine, value: Params | None = None, known: bool = True) -> Harvest:
    """A harvest whose versions have the templates above, unless they are not `known`."""
    return harvest(engine, value or params(), "triage", NOW + 10, lambda version: TEMPLATES if known else None)


def rate(engine: Engine, value: Params | None = None) -> RatingHarvest:
    """A harvest of thumbs."""
    return harvest_ratings(engine, value or params(), "triage", NOW + 10, lambda version: TEMPLATES)


def thumb(engine: Engine, request: str, seed: int, up: bool, key: str = "k1", output: str = "") -> None:
    """A ticket whose answer somebody rated."""
    row = ticket(seed)
    given = {name: row[name] for name in ("subject", "body")}
    ask(engine, request, given, key=key, thumb=1 if up else -1, output=output or said("billing", f"We look {seed}."))
