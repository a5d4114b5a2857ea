"""Parity of a model that predicts: a server must return the probabilities and numbers of the evaluation, or the same
answer if it has none or they concern the answer as a whole.
"""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from tasks.dataset.rows import Answered
from tasks.dialogues import choices
from tasks.dialogues.special import SpecialTexts
from tasks.errors import AnnealError
from tasks.formats.spans import probability_in
from tasks.serve import verify
from tasks.serve.loopback import client

TOLERANCE = 1.0e-3  # of a probability, and of a number in standard deviations
TOO_LONG = "context_length_exceeded"
Probabilities = Mapping[str, Mapping[str, float]]  # {column: {class: its probability}}


def check_parity(
    url: str, model: str, special: SpecialTexts, predictions: Sequence[Answered]
) -> tuple[verify.Parity, list[str]]:
    """(the parity of the server at `url` with `predictions`, the ids of those that are too long for it).

    Raises AnnealError for a probability or a number that differs by more than TOLERANCE, for other classes or columns,
    and where all are too long.
    """
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda row: _ask(url, model, special, row), predictions))
    pairs = list(zip(predictions, answers, strict=True))
    answered = [(row, answer) for row, answer in pairs if answer is not None]
    too_long = [row["id"] for row, answer in pairs if answer is None]
    if not answered:
        raise AnnealError(
            f"{model} cannot be verified: all {len(predictions)} test rows are longer than deploy.max_model_len; raise "
            "it in params.yaml."
        )
    greatest = max(_difference(model, row, *answer) for row, answer in answered)
    return verify.Parity(len(answered), 1.0, 1.0, len(answered), greatest), too_long


def _ask(url: str, model: str, special: SpecialTexts, row: Answered) -> tuple[str, Probabilities] | None:
    """(the answer of the server to a row, its probabilities, if any); None where the row is too long for the server."""
    import httpx

    route, body = verify.question(special, row)
    try:
        answer = client().post(f"{url}/{route}", json={"model": model, **body}, timeout=verify.PATIENCE)
    except httpx.HTTPError as error:
        raise AnnealError(
            f"the server at {url} did not answer a request for {model} ({type(error).__name__}); see its log in "
            ".anneal/logs."
        ) from None
    if answer.status_code == 400 and answer.json()["error"]["code"] == TOO_LONG:
        return None
    if answer.status_code != 200:
        raise AnnealError(f"the server at {url} refused a request for {model}: {answer.text[:200]}")
    choice = answer.json()["choices"][0]
    probabilities: Probabilities = choice.get("probabilities") or {}
    if not probabilities and row.get("probabilities"):
        raise AnnealError(f"the server at {url} returns no probabilities for {model}; the deployment is refused.")
    return str(choice["message"]["content"]), probabilities


def _distance(model: str, row: Answered, text: str) -> float:
    """The greatest difference of a number of a row, in standard deviations; AnnealError where it is too great."""
    expected, answer = json.loads(row["text"]), _object(text)
    if answer.keys() != expected.keys():
        raise AnnealError(
            f"{model} predicts other numbers for row {row['id']} than in the evaluation; the deployment is refused."
        )
    greatest = 0.0
    for column, scale in row["scales"].items():
        distance = abs(answer[column] - expected[column]) / scale
        if not distance <= TOLERANCE:  # NaN too
            raise AnnealError(
                f"{model} says {column} = {answer[column]:g} of row {row['id']}, {expected[column]:g} in the "
                "evaluation; the deployment is refused."
            )
        greatest = max(greatest, distance)
    return greatest


def _object(text: str) -> dict[str, float]:
    """The numbers in an answer; empty if it is not an object of numbers."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    is_of_numbers = isinstance(value, dict) and all(isinstance(entry, int | float) for entry in value.values())
    return value if is_of_numbers else {}


def _difference(model: str, row: Answered, text: str, probabilities: Probabilities) -> float:
    """The greatest difference of a probability of a row; AnnealError if it is too great, or the classes differ, or the
    answer differs and has no probabilities, or one for the answer as a whole.
    """
    if "scales" in row:
        return _distance(model, row, text)
    expected: Probabilities | None = row.get("probabilities")
    if (expected is None or probability_in(expected) is not None) and text != row["text"]:
        does = "answers" if expected else "marks"
        raise AnnealError(
            f"{model} {does} row {row['id']} differently than in the evaluation ({text[:80]}); the deployment is "
            "refused."
        )
    _refuse_other_scores(model, row, text)
    return 0.0 if expected is None else _greatest(model, row, expected, probabilities)


def _refuse_other_scores(model: str, row: Answered, text: str) -> None:
    """Raise AnnealError where an answer of a reward model has other scores: probabilities show only differences."""
    expected, answer = choices.figures(row["text"]), choices.figures(text)
    for name, values in expected.items():
        pairs = zip(values, answer.get(name, []), strict=False)
        if len(answer.get(name, [])) != len(values) or not all(abs(a - b) <= TOLERANCE for a, b in pairs):
            raise AnnealError(
                f"{model} gives row {row['id']} the {name} {answer.get(name)}, {values} in the evaluation; the "
                "deployment is refused."
            )


def _greatest(model: str, row: Answered, expected: Probabilities, probabilities: Probabilities) -> float:
    if {column: set(shares) for column, shares in expected.items()} != {
        column: set(shares) for column, shares in probabilities.items()
    }:
        raise AnnealError(
            f"{model} predicts other classes for row {row['id']} than in the evaluation; the deployment is refused."
        )
    greatest = 0.0
    for column, shares in expected.items():
        for name, share in shares.items():
            difference = abs(probabilities[column][name] - share)
            if not difference <= TOLERANCE:  # NaN too
                raise AnnealError(
                    f"{model} says {column} = {name[:40]} of row {row['id']} with a probability of "
                    f"{probabilities[column][name]:.4f}, {share:.4f} in the evaluation; the deployment is refused."
                )
            greatest = max(greatest, difference)
    return greatest
