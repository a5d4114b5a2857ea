"""The table that ends a run says what was measured, with the confidence that was set."""

from rich.console import Console

from flows.table import _figures


def test_the_interval_is_that_of_the_confidence_that_was_set() -> None:
    evaluation = {
        "rows": 12,
        "parent": {"valid": 0.5},
        "tuned": {"valid": 0.75, "kind_log_loss": 0.4},
        "intervals": {
            "confidence": 0.8,
            "tuned": {"valid": [0.6, 0.9], "kind_log_loss": [0.3, 0.5]},
            "parent": {"valid": [0.4, 0.6]},
        },
        "seconds_per_answer": {"parent": 1.0, "tuned": 2.0},
    }
    console = Console(record=True, width=120)
    console.print(_figures(evaluation))
    text = console.export_text()
    assert "80 % interval" in text and "95 %" not in text and "0.600 to 0.900" in text and "12 held-out rows" in text
    log_loss = next(line for line in text.splitlines() if "kind_log_loss" in line)
    assert log_loss.split("│")[2].strip() == "–" and "0.300 to 0.500" in log_loss  # a parent without probabilities
