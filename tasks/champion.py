"""Compares a tuned model with its parent and the champion on the same rows, for the gate."""

from pathlib import Path

from tasks import register
from tasks.evaluate.metrics import score_rows
from tasks.evaluate.params import Evaluate
from tasks.files import read_json, read_jsonl, whole_directory, write_jsonl
from tasks.gate import Gate, Verdict, gate


def judge(name: str, params: Gate, evaluation: Evaluate, weights: Path, reports: Path, adapter: Path) -> Verdict:
    """The gate's verdict on the model whose evaluation is in `reports/evaluate`, against parent and champion."""
    tuned, parent = (read_jsonl(reports / part / "predictions.jsonl") for part in ("evaluate", "baseline"))
    champion = register.alias(name, "champion")
    artifact = read_json(adapter / "artifact.json")["artifact_sha256"]
    rival = None
    if champion is not None and champion.artifact != artifact:
        rival = _champions_answers(champion, tuned, evaluation, weights, reports / "champion")
        if rival is None:
            return Verdict(
                False,
                (f"✗ cannot be compared with the champion (version {champion.version}): it was trained on other weights than {weights} holds; `make promote` promotes by hand",),
            )
    scores = [_scores(predictions, evaluation, params.compare_on) for predictions in (tuned, parent, rival)]
    return gate(params, read_json(reports / "evaluate" / "metrics.json")["tuned"], *scores)


def _scores(predictions: list[dict] | None, evaluation: Evaluate, measure: str) -> list[float] | None:
    if predictions is None:
        return None
    rows = score_rows(predictions, evaluation)
    if measure not in rows:
        from tasks.errors import ParamsError

        raise ParamsError(f"params.yaml: gate.compare_on is '{measure}', which is no row score; there are: {', '.join(rows)}.")
    return rows[measure].tolist()


def _champions_answers(champion: register.Version, tuned: list[dict], evaluation: Evaluate, weights: Path, cache: Path) -> list[dict] | None:
    """The champion's answers to the rows of `tuned`: those of its own evaluation when the rows are the same, else asked anew."""
    known = read_jsonl(register.folder(champion, "evaluate") / "predictions.jsonl")
    if _questions(known) == _questions(tuned):
        return known
    adapter = register.folder(champion, "adapter")
    if read_json(adapter / "artifact.json")["base_sha256"] != read_json(weights / "source.json")["weights_sha256"]:
        return None
    kept = cache / "predictions.jsonl"
    if (cache / champion.artifact).exists() and _questions(read_jsonl(kept)) == _questions(tuned):
        return read_jsonl(kept)
    from tasks.answers import answer

    rows = [{"id": row["id"], "messages": row["messages"], "answer": row["expected"], "row": row["row"]} for row in tuned]
    answers = answer(weights, adapter, rows, evaluation.per_device_eval_batch_size, evaluation.max_new_tokens, f"champion (version {champion.version})")
    with whole_directory(cache) as folder:
        write_jsonl(folder / "predictions.jsonl", answers.predictions)
        (folder / champion.artifact).touch()
    return answers.predictions


def _questions(predictions: list[dict]) -> list:
    return [(row["id"], row["messages"], row["expected"]) for row in predictions]
