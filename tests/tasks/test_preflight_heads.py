"""A table of classes under a base that reads, or an objective that tells classes, is refused with what to write."""

import json
from pathlib import Path

import pytest

from tasks.errors import ParamsError
from tasks.preflight import checks, serving
from tests.sentences import Says
from tests.tasks.own_params import changed

pytestmark = pytest.mark.slow  # transformers, which says what reads, loads torch

LINES = [{"text": f"Where is {n}?", "topic": ["a", "b"][n % 2], "reply": f"On shelf {n}."} for n in range(8)]
WAY = (
    'to tell classes, write prepare: {shape: labelled, user: "{{ text }}", labels: [topic]} in datasets.mine, and '
    "objective: {kind: classify}"
)


def refusal(folder: Path, answer: str, train: str = "", model_type: str = "bert") -> str:
    (folder / "base").mkdir()
    (folder / "base/config.json").write_text(json.dumps({"model_type": model_type, "architectures": ["BertModel"]}))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in LINES))
    prepare = f"{{user: '{{{{ text }}}}', answer: {answer}}}"
    (folder / "params.yaml").write_text(
        f"bases:\n  small: {{folder: base, sha256: '{'0' * 64}', license: mit}}\n"
        f"datasets:\n  mine: {{ingest: {{source: rows.jsonl}}, prepare: {prepare}}}\n"
        f"models:\n  m: {{parent: small, dataset: mine{train}}}\n"
    )
    with pytest.raises(ParamsError) as refused:
        checks.check_file()
    return str(refused.value)


@pytest.mark.parametrize("answer", ["[topic]", "'{{ topic }}'"])
def test_an_encoder_is_given_labels_and_not_a_table(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal(tmp_path, answer) == (
        "params.yaml: models.m.train.objective.kind is sft, and small reads and does not write (its config.json says "
        f"so); {WAY}, or use a base that writes."
    )


def test_a_text_among_the_answers_would_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = refusal(tmp_path, "[topic, reply]", ", train: {objective: {kind: classify}}")
    assert words == Says(
        "models.m.train.objective.kind is classify", "datasets.mine are a table", WAY, "`reply` would be left out"
    )


def test_without_a_label_the_shapes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = refusal(tmp_path, "[reply]", ", train: {objective: {kind: classify}}")
    assert "which does not learn from rows of the shape table (datasets.mine)" in words
    assert words.endswith("or give it a dataset of the shape labelled.")


@pytest.mark.parametrize(
    ("model_type", "tuner", "objective"),
    [
        ("bert", "lora", "classify"),
        ("mpnet", "lora", "classify"),
        ("llama", "prefix", "classify"),
        ("llama", "ia3", "sft"),
    ],
)
def test_pooling_is_for_the_classifiers_that_can_be_and_refuses_no_other_model(
    tmp_path: Path, model_type: str, tuner: str, objective: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    params = changed(
        bases__small={"folder": str(tmp_path), "sha256": "0" * 64, "license": "mit"},
        deploy__serve="pooling",
        models__mine__parent="small",
        models__mine__train__tuner={"kind": tuner},
        models__mine__train__objective={"kind": objective},
    )
    assert not list(serving.problems(params, "mine"))


def test_numbers_are_given_the_shape_of_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(f"{__name__}.LINES", [{**row, "price": f"{n}.5"} for n, row in enumerate(LINES)])
    assert (
        'to tell numbers, write prepare: {shape: scored, user: "{{ text }}", numbers: [price]} in datasets.mine, and '
        "objective: {kind: regress}, or use a base that writes."
    ) in refusal(tmp_path, "[price]")
