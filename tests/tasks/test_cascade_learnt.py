"""From a classifier and a base to one package: each learns its part, and what is measured, shipped and compared is
both.
"""

import html
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.dialogues.chat import GIVEN, REST
from tasks.files import read_json, read_jsonl, sha256
from tasks.models import labeller
from tasks.stages.baseline import baseline
from tasks.stages.cascade import Cascade, cascade
from tasks.stages.evaluate.__main__ import evaluate
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.package import Package, package
from tasks.stages.predict.__main__ import predict
from tasks.stages.predict.params import Predict
from tasks.versions import registry
from tests import encoders, tiny, tiny_classifier
from tests.tasks.judged import NAME, enthrone, verdict, watch_answers

pytestmark = pytest.mark.slow  # two models are trained

TELLER = {
    "objective": {"kind": "classify"},
    "tuner": {"kind": "full"},
    "learning_rate": 3.0e-3,
    "num_train_epochs": 6,
    "max_length": 64,
    "bf16": False,
}
ENDS = ("evaluate/metrics.json", "evaluate/intervals.json")


def packaged(place: Path, parent: Path, trained: Path, prepared: Path, reports: Path) -> SimpleNamespace:
    made = SimpleNamespace(adapter=place / "adapter", weights=place / "weights")
    figures = [reports / end for end in ENDS]
    package(Package(max_divergence=0.5), parent, trained, prepared, *figures, **vars(made), card=place / "card.md")
    return made


def measured(place: Path, parent: Path, trained: Path, prepared: Path, params: Evaluate) -> Path:
    asked = Predict(**tiny.PREDICT)
    baseline(asked, parent, prepared, place / "baseline")
    predict(asked, parent, trained, prepared, place / "predict")
    evaluate(params, prepared, place, place / "evaluate")
    return place


@pytest.fixture(scope="module")
def made(base: Path, prepared: Path, _empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The classifier of the toy rows, the cascade of both, and the model that writes behind it."""
    place = tmp_path_factory.mktemp("cascade")
    learnt, encoder = tiny_classifier.write_learnt(place / "labels", prepared), encoders.make_base(place / "encoder")
    told = tiny.train_in(place / "teller", encoder, learnt, **TELLER).adapter
    figures = measured(place / "teller", encoder, told, learnt, Evaluate(labels=tiny.LABELS, bootstrap_resamples=100))
    teller = packaged(place / "teller", encoder, told, learnt, figures)
    both = place / "both"
    params = Cascade(dataset="toys", model="teller", trained_on="labels")
    cascade(params, prepared, learnt, teller.weights, teller.adapter, both, place)
    trained = tiny.train_in(place / "things", base, both, num_train_epochs=4)
    reports = measured(place / "things", base, trained.adapter, both, Evaluate(**tiny.EVALUATE))
    whole = packaged(place / "things", base, trained.adapter, both, reports)
    return SimpleNamespace(**vars(whole), both=both, report=trained.report, reports=reports, place=place)


def predictions(made: SimpleNamespace, who: str) -> list[dict[str, Any]]:
    return read_jsonl(made.reports / who / "predictions.jsonl")


def test_the_classifier_tells_and_the_model_writes_the_rest(made: SimpleNamespace) -> None:
    rows = predictions(made, "predict")
    assert all(row["text"].startswith(row[GIVEN]) for row in rows)
    right = sum(row["text"] == row["answer"] for row in rows)
    assert right >= len(rows) - 2
    metrics = read_json(made.reports / "evaluate/metrics.json")["tuned"]
    told = read_json(made.place / "cascade.json")["right"]
    assert metrics["valid"] == 1
    assert {label: metrics[f"{label}_accuracy"] for label in tiny.LABELS} == pytest.approx(told)


def test_the_parent_is_asked_for_the_whole_and_its_likelihood_is_of_the_same_tokens(
    made: SimpleNamespace, tokenizer: Any
) -> None:
    ours, its = predictions(made, "predict"), predictions(made, "baseline")
    assert all(row["text"] == tokenizer.decode(row["token_ids"]) for row in its), "its beginning was not its own"
    assert not all(row["text"].startswith(row[GIVEN]) for row in its)
    assert [row["tokens"] for row in ours] == [row["tokens"] for row in its]
    assert sum(row["nll"] for row in ours) < 0.1 * sum(row["nll"] for row in its)


def test_the_xray_marks_the_rest_alone(made: SimpleNamespace) -> None:
    page = (made.report / "xray.html").read_text(encoding="utf-8")
    for sample in page.split("<h2>")[1:]:
        spans = re.findall(r'<span class="(on|off)">(.*?)</span>', sample, re.DOTALL)
        on = html.unescape("".join(text for kind, text in spans if kind == "on"))
        off = html.unescape("".join(text for kind, text in spans if kind == "off"))
        assert re.fullmatch(r' "[^"]*"\}<\|im_end\|>', on)
        assert off.endswith(', "reply":')


def test_the_package_holds_the_labeller_and_its_hash_covers_it(made: SimpleNamespace) -> None:
    own = made.adapter / labeller.FOLDER
    assert sha256(own) == sha256(made.both / labeller.FOLDER)
    assert read_json(made.adapter / "artifact.json")["parts"][labeller.FOLDER] == sha256(own)
    card = (made.adapter / "README.md").read_text(encoding="utf-8")
    assert 'that predicts colour, mood, and the model continues after `{"colour": "…", "mood": "…", "reply":`' in card
    row = predictions(made, "predict")[0]
    assert labeller.predict_beginning(labeller.load(own), row["messages"]) == row[GIVEN]


@pytest.fixture
def rival(made: SimpleNamespace, base: Path, store: object, tmp_path: Path) -> SimpleNamespace:
    import shutil

    reports = shutil.copytree(made.reports, tmp_path / "reports")
    return SimpleNamespace(weights=base, reports=reports, adapter=made.adapter)


def test_a_champion_of_the_same_kind_is_asked_behind_its_own_labels(
    rival: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, rows = watch_answers(monkeypatch), read_jsonl(rival.reports / "predict/predictions.jsonl")
    enthrone(rival, tmp_path, rows[:-3])
    heads = registry.folder(registry.read(NAME).at("champion"), "adapter") / labeller.FOLDER
    _with_turned_bias(heads)
    assert verdict(rival).champion == "1" and asked == ["champion (version 1), 3 rows"]
    last = read_jsonl(rival.reports / "champion/predictions.jsonl")[-3:]
    assert {json.loads(row[GIVEN] + row[REST])["colour"] for row in last} == {"green"}
    assert all(row["text"].startswith(row[GIVEN]) for row in last)


def test_a_champion_from_before_the_cascade_is_asked_for_the_whole_answer(
    rival: SimpleNamespace, packaged: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, rows = watch_answers(monkeypatch), read_jsonl(rival.reports / "predict/predictions.jsonl")
    before = [{name: row[name] for name in row if name not in (GIVEN, REST)} for row in rows]
    enthrone(SimpleNamespace(adapter=packaged.adapter), tmp_path, before)
    assert verdict(rival).champion == "1"
    assert asked == [f"champion (version 1), {len(rows)} rows"]  # how likely it finds the rest is not known yet
    kept = read_jsonl(rival.reports / "champion/predictions.jsonl")
    assert [row["tokens"] for row in kept] == [row["tokens"] for row in rows]
    assert sum(json.loads(row["text"])["mood"] == json.loads(row["answer"])["mood"] for row in kept) > len(rows) / 2


def _with_turned_bias(folder: Path) -> None:
    """The classifier tells the colour green whatever it reads."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "head.safetensors")
    weights["0.bias"][read_json(folder / "head.json")["classes"]["colour"].index("green")] += 1000
    save_file(weights, folder / "head.safetensors", metadata={"format": "pt"})
