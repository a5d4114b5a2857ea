"""The page of a win rate: the verdict, what length has to do with it, the figures, and all answers side by side."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks import pages
from tasks.comparison.win_rate import words
from tasks.comparison.win_rate.judges import Judgement
from tasks.comparison.win_rate.prompts import Prompts
from tasks.comparison.win_rate.result import Result
from tasks.dataset.rows import Answered
from tasks.files import write_text
from tasks.formats.answer import AnswerFormat
from tasks.steps.report.drawing import BAD, GRID, MUTED, PARENT, TUNED, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATE = Path(__file__).with_name("page.html.jinja")
FILES = (TEMPLATE, pages.STYLES / "page.css")
OPEN = 12  # prompts that are shown at once; the others unfold


@dataclass(frozen=True)
class Shown:
    """What the page shows: `names` of the two models, and `texts` whose length is measured."""

    names: tuple[str, str]
    result: Result
    asked: Prompts
    answers: tuple[Sequence[Answered], Sequence[Answered]]
    judged: Judgement
    texts: tuple[Sequence[str], Sequence[str]]
    form: AnswerFormat
    about: Mapping[str, str]


@dataclass(frozen=True)
class Sample:
    """A prompt, both answers as (column, value) or a text without a column, who won, and by what."""

    id: str
    turns: list[tuple[str, str]]
    answers: tuple[list[tuple[str, str]], list[tuple[str, str]]]
    share: float | None
    note: str


def write(shown: Shown, out: Path) -> None:
    """Put one self-contained page at `out`: the same inputs, the same bytes."""
    of, (model, against) = shown.result, shown.names
    samples = _samples(shown)
    page = pages.template(TEMPLATE, percent=words.percent, span=words.span).render(
        model=model,
        against=against,
        of=of,
        verdict=words.verdict(of),
        headline=words.headline(model, against, of),
        sentence=words.sentence(model, against, of),
        p=words.p_of(of),
        length=words.length(of),
        lines=words.lines(of),
        plot=_plot(shown) if "value" in of["controlled"] else None,
        system=_system(shown),
        samples=samples[:OPEN],
        others=samples[OPEN:],
        asked=shown.asked,
        about=shown.about,
    )
    write_text(out, page)


def _samples(shown: Shown) -> list[Sample]:
    """All prompts by a hash of their ids, so that nobody has picked the first."""
    rows = zip(shown.asked.rows, *shown.answers, shown.judged.shares, shown.judged.notes, strict=True)
    samples = [
        Sample(
            str(row["id"]),
            [(turn["role"], turn["content"]) for turn in row["messages"] if turn["role"] != "system"],
            (_fields(ours["text"], shown.form), _fields(theirs["text"], shown.form)),
            share,
            note,
        )
        for row, ours, theirs, share, note in rows
    ]
    return sorted(samples, key=lambda sample: hashlib.sha256(sample.id.encode()).hexdigest())


def _fields(text: str, form: AnswerFormat) -> list[tuple[str, str]]:
    answer = form.read(text) if form.is_json else None
    return list(answer.items()) if answer else [("", text)]


def _system(shown: Shown) -> str | None:
    """The system prompt that all prompts share, if they do."""
    prompts = {turn["content"] for row in shown.asked.rows for turn in row["messages"] if turn["role"] == "system"}
    return prompts.pop() if len(prompts) == 1 else None


def _plot(shown: Shown) -> str:
    """An SVG: each prompt by the difference in length and who won, and the fitted probability of winning."""
    known, shares = shown.result["controlled"], shown.judged.shares
    told = [place for place, share in enumerate(shares) if share is not None]
    ours, theirs = shown.texts
    gaps = np.array([len(ours[place]) - len(theirs[place]) for place in told], float)
    won = np.array([shares[place] for place in told], float)
    jitter = np.random.default_rng(0).uniform(-0.035, 0.035, len(won))  # equal verdicts would hide each other

    def draw(figure: "Figure") -> None:
        axes: Any = figure.add_subplot(
            xlabel=f"characters by which the answer of {shown.names[0]} is longer", ylabel="chance of winning"
        )
        edge = max(1.0, 1.05 * float(np.abs(gaps).max()))
        at = np.linspace(-edge, edge, 200)
        level = float(np.clip(known["value"], 1e-9, 1 - 1e-9))
        chance = 1 / (1 + np.exp(-(np.log(level / (1 - level)) + known["slope"] * np.tanh(at / known["scale"]))))
        axes.axhline(0.5, color=GRID, linewidth=1)
        axes.axvline(0, color=GRID, linewidth=1)
        axes.scatter(
            gaps, won + jitter, s=16, color=PARENT, alpha=0.6, linewidths=0, label="a prompt: won, tied or lost"
        )
        axes.plot(at, chance, color=TUNED, linewidth=2, label="fitted chance")
        low, high = known["interval"]
        axes.errorbar(
            [0],
            [known["value"]],
            [[known["value"] - low], [high - known["value"]]],
            fmt="o",
            color=BAD,
            capsize=3,
            label="equally long",
            zorder=3,
        )
        axes.set(xlim=(-edge, edge), ylim=(-0.08, 1.08), yticks=[0, 0.5, 1], yticklabels=["0", "½", "1"])
        figure.legend(loc="outside upper center", ncols=3, labelcolor=MUTED)

    return picture("length", (10.9, 3.4), draw)
