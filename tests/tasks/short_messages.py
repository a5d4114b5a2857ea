"""Short messages of a lamp shop's customers, formatted, and what is kept and dropped of them."""

from pathlib import Path

from tasks.files import write_json, write_jsonl
from tasks.stages.prepare.__main__ import prepare
from tasks.stages.prepare.shapes.table import Params as Prepare
from tasks.stages.prepare.shapes.table import format_row
from tasks.stages.prepare.split_or_drop import Assignment

PARAMS = Prepare(user="{{ subject }}", answer=["category", "reply"], validation_share=0.2, test_share=0.3)
SUBJECTS = [
    "The lamp is dark",
    "My parcel is late",
    "You charged me twice",
    "How do I pair the hub?",
    "Please cancel my plan",
    "The shade came broken",
    "I want my money back",
    "Where is the invoice?",
    "The app closes at once",
    "Wrong colour in the box",
    "Can I change my address?",
    "Is there a manual?",
]


def rows(entries: list[tuple[str, str]], params: Prepare = PARAMS) -> list:
    """Formatted rows of (subject, category), each with a reply of its own."""
    reply = "Thank you for writing to us about this; a colleague will look at number {} and write back to you."
    source = [
        {"id": f"r{number:03}", "subject": subject, "category": category, "reply": reply.format(number)}
        for number, (subject, category) in enumerate(entries)
    ]
    return [format_row(row, params) for row in source]


def kinds(assignment: Assignment) -> dict[str, int]:
    """How many rows are kept, and how many dropped for each kind of reason."""
    found = [dropped.kind for dropped in assignment.dropped]
    return {"kept": len(assignment.kept), **{kind: found.count(kind) for kind in sorted(set(found))}}


def prepared(folder: Path, entries: list[tuple[str, str]], params: Prepare = PARAMS) -> Path:
    """A folder in which prepare has run."""
    write_jsonl(folder / "in/rows.jsonl", [one["row"] for one in rows(entries)])
    write_json(folder / "in/limits.json", {"rows": len(entries), "quarantined": 0, "max_quarantined_share": 0.02})
    write_json(folder / "suite.json", {"expectations": []})
    prepare(params, folder / "in", folder / "suite.json", folder / "out", folder / "docs", folder / "report.json")
    return folder
