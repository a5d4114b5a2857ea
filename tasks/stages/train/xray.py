"""Shows what exactly is trained on, token by token: the label X-ray."""

import csv
import html
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from tasks.dataset.encoded import Encoded, Processor
from tasks.files import write_text

SHOWN = 12  # rows
TrainedOn = Callable[[Encoded], Sequence[float]]  # of an encoded row: how much each token counts in the loss; 0: not

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Label X-ray</title>
<style>body{{font:15px/1.7 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}}
pre{{white-space:pre-wrap;background:#f6f6f4;padding:1rem;border-radius:6px}}
span{{border-radius:3px;box-shadow:inset 0 0 0 1px #0001}}
.on{{background:#bfe5c0}} .off{{color:#777}}</style>
<h1>Label X-ray</h1><p>{total:,} tokens in {rows} rows; the loss is taken on the {trained:,} green ones ({share:.0%}),
the grey ones are only read.{note} Each box is one token; ⏎ is a line break.</p>{samples}</html>
"""


def write_xray(
    processor: Processor, trained_on: TrainedOn, rows: Sequence[Encoded], path: Path, note: str = ""
) -> None:
    """Write an HTML page of the first rows, each token marked as trained on or not; `note` goes on explaining."""
    samples = []
    for row in rows[:SHOWN]:
        spans = []
        for token, weight in zip(row["input_ids"], trained_on(row), strict=True):
            kind = "on" if weight else "off"
            counts = "" if weight in (0, 1) else f' title="counts {weight:g} times"'
            text = html.escape(processor.decode([token])).replace("\n", "⏎\n")
            spans.append(f'<span class="{kind}"{counts}>{text}{f"<sub>×{weight:g}</sub>" if counts else ""}</span>')
        samples.append(f"<h2>{html.escape(str(row['id']))}</h2><pre>{''.join(spans)}</pre>")
    total = sum(len(row["input_ids"]) for row in rows)
    trained = sum(_trained(trained_on, row) for row in rows)
    figures = {"total": total, "rows": len(rows), "trained": trained, "share": trained / total}
    write_text(path, PAGE.format(**figures, note=html.escape(note and f" {note}"), samples="".join(samples)))


def write_lengths(trained_on: TrainedOn, rows: Sequence[Encoded], path: Path) -> None:
    """Write one line per row: how many of its tokens are only read, and how many are trained on."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["prompt_tokens", "answer_tokens"])
    for row in rows:
        trained = _trained(trained_on, row)
        table.writerow([len(row["input_ids"]) - trained, trained])
    write_text(path, text.getvalue())


def _trained(trained_on: TrainedOn, row: Encoded) -> int:
    """The number of tokens of an encoded row that are trained on."""
    return sum(weight > 0 for weight in trained_on(row))
