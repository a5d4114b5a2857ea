"""From a correction to a version: what a trained model answered and a person corrected becomes pairs, is learnt by dpo
on that model's weights, and passes the gate beside the champion as the next version of the same task.
"""

import csv
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.dataset.rows import Prepared
from tasks.files import read_json, write_json, write_jsonl
from tasks.params import Dataset, Model, Params
from tasks.records import database
from tasks.retrain import lineage
from tasks.retrain.harvest import harvest
from tasks.stages.baseline import baseline
from tasks.stages.evaluate.__main__ import evaluate
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.ingest import Ingest, read
from tasks.stages.package import Package, package
from tasks.stages.predict.__main__ import predict
from tasks.stages.predict.params import Predict
from tasks.stages.prepare.shapes import preference
from tasks.stages.reference import Reference, reference
from tasks.stages.retest import Retest, retest
from tasks.stages.train.params import Train
from tasks.stages.validate import Validate
from tasks.steps.champion import gate_verdict
from tasks.steps.gate import Gate
from tasks.versions import promotion, registry
from tests import tiny
from tests.tasks.corrections import NOW, ask
from tests.tasks.promoting import promote

pytestmark = pytest.mark.slow  # it trains
WORDS = ("sofa", "violin", "ladder", "bucket", "carpet", "anvil", "trumpet", "compass")
GATE = Gate(compare_on="colour_accuracy", must_beat=[], parent="not_worse", max_drop=0.1)
DPO = {"objective": {"kind": "dpo", "beta": 0.1}, "learning_rate": 2.0e-3, "num_train_epochs": 4}


def model(parent: str, dataset: str, released_as: str | None = None) -> Model:
    return Model(
        parent=parent,
        dataset=dataset,
        released_as=released_as,
        train=Train(**tiny.KINDS),
        predict=Predict(**tiny.PREDICT),
        evaluate=Evaluate(**tiny.EVALUATE),
        package=Package(),
        gate=GATE,
    )


def params() -> Params:
    """The toy project."""
    ingest = Ingest(source="data/seed/things", columns=["thing", "size", "colour", "mood", "reply"])
    prepare = tiny.PREPARE.model_copy(update={"near_duplicate_similarity": 1.0})  # its texts are of a few words
    toys = Dataset(ingest=ingest, validate=Validate(), prepare=prepare)
    return Params(bases={}, datasets={"toys": toys}, models={"things": model("tiny", "toys")})


def corrected(weights: Path, adapter: Path) -> None:
    """Put requests into the records that the model in `adapter` has answered, each with a correction of its reply."""
    from tasks.weights.tuned import answer

    things = [
        {**row, "id": f"new-{word}-{row['id']}", "thing": f"a {row['colour']} {word}"}
        for word in WORDS
        for row in tiny.things(0, 4)
    ]
    rows = [tiny.format_row(row, tiny.PREPARE) for row in things]
    said = answer(weights, adapter, rows, 16, 60, "the version").predictions
    engine = database.connect()
    for row, reply in zip(things, said, strict=True):
        right = {
            "colour": row["colour"],
            "mood": row["mood"],
            "reply": f"Carry it to the {row['colour']} room, please.",
        }
        given = {name: row[name] for name in ("thing", "size")}
        ask(engine, row["id"], given, right, task="things", output=reply["text"])
    engine.dispose()


def pairs(folder: Path) -> Path:
    """The pairs of production as a prepared dataset: a quarter for validation."""
    columns = ["prompt", "chosen", "rejected"]
    source = lineage.pairs_folder("things")
    rows, _ = read(Ingest(source=str(source), columns=columns, json_columns=columns), source)
    made: list[Prepared] = [preference.example(row, preference.Params(shape="preference")) for row in rows]
    for name, part in (("train", made[len(made) // 4 :]), ("validation", made[: len(made) // 4]), ("test", [])):
        write_jsonl(folder / f"{name}.jsonl", part)
    write_jsonl(folder / "dropped.jsonl", [])
    write_json(folder / "format.json", {"system": None, "user": "{{ question }}", "answer": "{{ answer }}"})
    return folder


def learnt(place: Path, parent: Path, dataset: Path) -> SimpleNamespace:
    """The model that learns `dataset` on `parent`, evaluated and packaged."""
    trained = tiny.train_in(place / "models" / "liked", parent, dataset, **DPO)
    reports, settings = place / "reports" / "liked", Predict(**tiny.PREDICT)
    baseline(settings, parent, dataset, reports / "baseline")
    predict(settings, parent, trained.adapter, dataset, reports / "predict")
    evaluate(Evaluate(**tiny.EVALUATE), dataset, reports, reports / "evaluate")
    figures = [reports / "evaluate" / f"{name}.json" for name in ("metrics", "intervals")]
    made = SimpleNamespace(adapter=place / "adapter", weights=place / "weights", reports=reports, report=trained.report)
    about = Package(title="Things", datasets=["things"])
    package(about, parent, trained.adapter, dataset, *figures, made.adapter, made.weights, place / "card.md")
    return made


def losses(report: Path) -> list[dict[str, str]]:
    """The rows of loss.csv."""
    with (report / "loss.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_people_corrected_is_learnt_on_the_champion_and_is_its_next_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: Path, prepared: Path, packaged: SimpleNamespace,
    evaluated: Path, store: object,
) -> None:  # fmt: skip
    (tmp_path / "model_cards").symlink_to(Path("model_cards").absolute())
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("data/seed/things/things.jsonl"), tiny.things(0, 160))
    measured = shutil.copytree(evaluated / "evaluate", tmp_path / "measured")
    shutil.copy(evaluated / "predict" / "predictions.jsonl", measured)
    promote(promotion.register("things", packaged.adapter, measured, {}, {}))
    corrected(base, packaged.adapter)
    engine = database.connect()
    form = {"system": tiny.PREPARE.system, "user": tiny.PREPARE.user, "answer": list(tiny.PREPARE.answer)}
    found = harvest(engine, params(), "things", NOW + 10, lambda version: form)
    engine.dispose()
    assert found.taken == len(found.pairs.made) == 32, (found.words(), found.pairs.words())

    row = Retest(dataset="pairs", tested_on="toys", contamination_similarity=1.0)
    retest(row, pairs(tmp_path / "pairs"), prepared, tmp_path / "tested", tmp_path / "retest.json")
    compared = Reference(dataset="tested", model="things", bf16=False)
    reference(compared, tmp_path / "tested", packaged.weights, tmp_path / "dataset", tmp_path / "reference.json")
    made = learnt(tmp_path, packaged.weights, tmp_path / "dataset")

    liked = model("things", "dataset", "things")
    verdict = gate_verdict("things", liked, packaged.weights, made.reports, made.adapter, [base])
    assert verdict.passed, verdict.reasons
    assert verdict.champion == "1" and any("than its parent" in words for words in verdict.reasons)
    version = promotion.register("things", made.adapter, made.reports / "evaluate", {}, {})
    assert (
        version.version == "2"
        and read_json(made.adapter / "artifact.json")["base_sha256"] != registry.read("things").version("1").base
    )
    promote(version)
    assert registry.read("things").aliases == {"champion": "2", "previous": "1"}
    first, *_, last = [float(row["eval_loss"]) for row in losses(made.report) if row["eval_loss"]]
    assert last < first < math.log(2)  # of pairs that were held out; ln 2 is that of the champion itself
