"""What a small run leaves for its report, and the page that comes of it as tags and text."""

import csv
import json
from html.parser import HTMLParser
from pathlib import Path

from tasks.files import write_jsonl
from tasks.formats.answer import format_of
from tasks.steps.report.page import write_report

FORM = format_of(["category", "intent", "reply"])
INTENTS = {"double_charge": "billing", "plan_change": "billing", "app_crash": "technical", "how_to": "technical"}
SUMMARY = {
    "model": "triage",
    "finished": "2026-11-24T07:00:00+00:00",
    "commit": None,
    "stages": [
        {"name": "ingest@support_tickets", "state": "cached", "seconds": 0.4},
        {"name": "train@triage", "state": "ran", "seconds": 95.0},
    ],
    "evaluation": {
        "rows": 12,
        "parent": {"valid": 0.512, "intent_accuracy": 0.223, "perplexity": 31.4},
        "tuned": {"valid": 0.981, "intent_accuracy": 0.734, "perplexity": 4.567},
        "intervals": {
            "parent": {"valid": [0.4, 0.6], "intent_accuracy": [0.1, 0.3], "perplexity": [28.0, 35.0]},
            "tuned": {"valid": [0.9, 1.0], "intent_accuracy": [0.6, 0.8], "perplexity": [4.1, 5.2]},
            "confidence": 0.95,
        },
        "measures": {
            "valid": {"higher_is_better": True},
            "intent_accuracy": {"higher_is_better": True},
            "exact_match": {"higher_is_better": True},
            "perplexity": {"higher_is_better": False},
            "rank_error": {"higher_is_better": False},
        },
        "seconds_per_answer": {"parent": 1.3, "tuned": 0.9},
    },
    "gate": {"passed": True, "checks": [{"held": True, "words": "valid is 0.981, the minimum is 0.95"}]},
    "registry": {"name": "triage", "version": "3", "aliases": ["champion"]},
    "endpoint": {
        "url": "http://127.0.0.1:8000/v1",
        "model": "triage",
        "curl": 'curl -d \'{"model": "triage"}\' http://127.0.0.1:8000/v1',
        "parity": {"share": 0.97, "prompts": 16},
    },
    "where": {"Predictions": "reports/triage/predictions.jsonl", "Tracking": "http://127.0.0.1:5000"},
}


class Page(HTMLParser):
    """The tags with their attributes, and the text, of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def answer(place: int, said: str | None = None, **changed: str) -> dict:
    """A prediction for row `place`: the true answer with `changed` columns, or the text `said`."""
    intent = list(INTENTS)[place % 4]
    row = {"category": INTENTS[intent], "intent": intent, "reply": f"We look into it ({place})."}
    text = json.dumps({**row, **changed}) if said is None else said
    prompt = [{"role": "system", "content": "Sort the ticket."}, {"role": "user", "content": f"Ticket {place}"}]
    return {
        "id": f"row-{place}",
        "messages": prompt,
        "answer": json.dumps(row),
        "row": row,
        "text": text,
        "token_ids": [1],
        "finished": True,
        "nll": 2.0,
        "tokens": 4,
    }


def write_table(path: Path, header: list[str], rows: list[list]) -> None:
    """Write a CSV file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def small_run(place: Path) -> dict[str, Path]:
    """The folders of a small run: the tuned model errs on one row in four, the parent writes no JSON."""
    found = {name: place / name for name in ("predict", "evaluate", "baseline", "train")}
    tuned = [
        answer(place, **({"intent": "how_to", "category": "technical"} if place % 4 == 2 else {}))
        for place in range(12)
    ]
    write_jsonl(found["predict"] / "predictions.jsonl", tuned)
    write_jsonl(found["baseline"] / "predictions.jsonl", [answer(place, "Sure, happy to help!") for place in range(12)])
    for label in ("category", "intent"):
        write_table(
            found["evaluate"] / "confusion" / f"{label}.csv",
            ["actual", "predicted"],
            [[row["row"][label], json.loads(row["text"])[label]] for row in tuned],
        )
        write_table(
            found["evaluate"] / "per_class_f1" / f"{label}.csv",
            ["class", "parent", "tuned"],
            [[name, 0.0, 0.8] for name in sorted({row["row"][label] for row in tuned})],
        )
    write_table(
        found["train"] / "loss.csv",
        ["step", "loss", "eval_loss", "learning_rate"],
        [[1, 2.5, "", 1e-4], [2, 2.0, 1.8, 1e-4], [3, 1.5, 1.9, 1e-4]],
    )
    write_table(found["train"] / "lengths.csv", ["prompt_tokens", "answer_tokens"], [[10, 4], [12, 5], [30, 4]])
    (found["train"] / "xray.html").write_text("<p>x</p>")
    return found


def rendered(place: Path, summary: dict, name: str = "index.html", answer: list[str] | str = FORM.columns) -> str:
    """The page of `summary` on the run in `place`."""
    out = place / "reports" / "triage" / name
    write_report(summary, place, format_of(answer), out)
    return out.read_text(encoding="utf-8")
