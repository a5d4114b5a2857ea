"""A training run writes what it promises, the same bytes every time, and stops with a sentence when it cannot go on."""

import csv
import shutil
from pathlib import Path

import pytest

from tasks.errors import AnnealError, ParamsError
from tasks.files import read_json, read_jsonl, sha256, write_jsonl
from tasks.stages.train.params import Train
from tests import tiny
from tests.tiny import train_in as run

pytestmark = pytest.mark.slow  # each test trains, or loads a model


def curve(report: Path) -> list[dict]:
    with (report / "loss.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_run_writes_the_adapter_and_its_report_and_nothing_else_stays(trained):
    files = {"adapter_config.json", "adapter_model.safetensors", "tuner.json"}
    assert {file.name for file in trained.adapter.iterdir()} == files
    assert {file.name for file in trained.report.iterdir()} == {
        "metrics.json",
        "timing.json",
        "loss.csv",
        "lengths.csv",
        "xray.html",
        "guards.json",
    }
    assert [path.name for path in trained.checkpoints.iterdir() if path.is_dir()] == []
    metrics = read_json(trained.report / "metrics.json")
    assert metrics["steps"] == 128 * 8 / 8 and metrics["rows"] == 128 and metrics["rows_left_out"] == 0
    assert metrics["eval_loss"] < 0.3 and read_json(trained.report / "timing.json")["tokens_per_second"] > 0
    lengths = (trained.report / "lengths.csv").read_text().splitlines()
    assert lengths[0] == "prompt_tokens,answer_tokens" and len(lengths) == 129


def test_tokens_are_counted_without_padding(trained, tokenizer, prepared):
    from tasks.dialogues.chat import encode

    rows = [encode(tokenizer, row) for row in read_jsonl(prepared / "train.jsonl")]
    # The shared prefix counts in each row, so that tokens per second can be compared with trainers that read it each
    # time.
    assert read_json(trained.report / "metrics.json")["tokens"] == 8 * sum(len(row["input_ids"]) for row in rows)


def test_the_xray_marks_the_answer_and_only_the_answer(trained, prepared):
    page = (trained.report / "xray.html").read_text()
    first = page.split("<pre>")[1].split("</pre>")[0]
    on = first[first.index('<span class="on">') :]
    assert '<span class="off">' not in on and on.endswith('<span class="on">&lt;|im_end|&gt;</span>')
    answer = read_jsonl(prepared / "train.jsonl")[0]["answer"]
    assert (
        "".join(part.split("<")[0] for part in on.split('<span class="on">')).replace("&quot;", '"')
        == answer + "&lt;|im_end|&gt;"
    )


def test_two_runs_give_the_same_bytes(base, few, tmp_path):
    """A long run does as well: test_resume.py compares one that was killed with one that was not."""
    one, again = (run(tmp_path / name, base, few) for name in ("one", "again"))
    assert sha256(again.adapter) == sha256(one.adapter)
    for name in ("metrics.json", "loss.csv", "lengths.csv", "xray.html"):
        assert (again.report / name).read_bytes() == (one.report / name).read_bytes()


def test_another_seed_gives_another_adapter(base, few, tmp_path):
    one, other = (run(tmp_path / str(seed), base, few, num_train_epochs=1, seed=seed) for seed in (1, 2))
    assert sha256(one.adapter) != sha256(other.adapter)


def test_a_loss_that_is_not_a_number_ends_in_a_sentence_and_no_adapter(store, base, few, tmp_path):
    from safetensors.torch import load_file, save_file

    from tasks.versions import tracking

    sick = shutil.copytree(base, tmp_path / "sick")
    weights = load_file(sick / "model.safetensors")
    weights["model.norm.weight"][3] = float("nan")
    save_file(weights, sick / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(AnnealError, match=r"loss is nan at step \d+: lower learning_rate \(now 0.01\)"):
        run(tmp_path, sick, few)
    assert not (tmp_path / "trained").exists()
    (found,) = store.search_runs([tracking.experiment_id(store)])
    assert found.info.status == "FAILED"


def test_rows_longer_than_max_length_are_left_out_and_counted(base, few, tokenizer, tmp_path):
    from tasks.dialogues.chat import encode

    rows = read_jsonl(few / "train.jsonl")
    lengths = sorted(len(encode(tokenizer, row)["input_ids"]) for row in rows)
    mixed = shutil.copytree(few, tmp_path / "mixed")
    long = {**rows[0], "id": "long", "answer": rows[0]["answer"] * 9}
    write_jsonl(mixed / "train.jsonl", [*rows, long])
    metrics = read_json(run(tmp_path, base, mixed, num_train_epochs=1, max_length=lengths[-1]).report / "metrics.json")
    assert (metrics["rows"], metrics["rows_left_out"]) == (16, 1)
    with pytest.raises(AnnealError, match="no trainable tokens: all 16 train rows are longer than max_length=8 tokens"):
        run(tmp_path, base, few, max_length=8)


def test_a_template_that_does_not_fit_stops_the_run_before_any_step(base, few, tmp_path):
    other = shutil.copytree(base, tmp_path / "other")
    template = other / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|im_end|>", "<|endoftext|>"))
    with pytest.raises(AnnealError, match="chat template does not fit"):
        run(tmp_path, other, few)


FALLS_AND_RISES = {
    "num_train_epochs": 20,
    "learning_rate": 0.3,
    "early_stopping_patience": 1,
    "eval_steps": 0.1,
    "warmup_ratio": 0.3,
}


def test_it_goes_to_the_end_and_keeps_that_where_it_is_asked_to(base, few, tokenizer, tmp_path):
    from tasks.weights.tuned import answer

    made = run(tmp_path, base, few, load_best_model_at_end=False, **FALLS_AND_RISES)
    losses = [float(point["eval_loss"]) for point in curve(made.report) if point["eval_loss"]]
    metrics = read_json(made.report / "metrics.json")
    assert metrics["best_step"] == metrics["steps"] == 40 and metrics["eval_loss"] == losses[-1] > min(losses)
    kept = answer(base, made.adapter, read_jsonl(few / "validation.jsonl"), 4, 1, "kept").predictions
    assert tiny.mean_nll(kept) == pytest.approx(losses[-1], rel=0.02)


def test_it_stops_early_and_keeps_the_best_checkpoint(base, few, tokenizer, tmp_path):
    from tasks.weights.tuned import answer

    made = run(tmp_path, base, few, **FALLS_AND_RISES)
    points = [(float(point["eval_loss"]), int(point["step"])) for point in curve(made.report) if point["eval_loss"]]
    metrics = read_json(made.report / "metrics.json")
    assert metrics["steps"] < 40 and points[-1][0] > points[-2][0], "it went on although the validation loss had risen"
    assert (metrics["eval_loss"], metrics["best_step"]) == pytest.approx(min(points)) and metrics[
        "best_step"
    ] < metrics["steps"]
    kept = answer(base, made.adapter, read_jsonl(few / "validation.jsonl"), 4, 1, "kept").predictions
    assert tiny.mean_nll(kept) == pytest.approx(metrics["eval_loss"], rel=0.02)


def test_a_share_of_all_steps_is_evaluated_once_at_the_end(base, few, tmp_path):
    made = run(tmp_path, base, few, num_train_epochs=2, eval_steps=1.0)
    steps = read_json(made.report / "metrics.json")["steps"]
    assert [int(point["step"]) for point in curve(made.report) if point["eval_loss"]] == [steps]


def test_mlflow_has_the_runs_params_its_curves_and_the_hash_of_its_adapter(store, base, few, tmp_path):
    from tasks.versions import tracking

    made = run(tmp_path, base, few, num_train_epochs=2, eval_steps=0.5)
    (found,) = store.search_runs([tracking.experiment_id(store)])
    assert found.info.status == "FINISHED" and found.data.tags["model"] == "things"
    assert found.data.tags["adapter_sha256"] == sha256(made.adapter / "adapter_model.safetensors")
    assert found.data.params["learning_rate"] == "0.01" and found.data.params["tuner.r"] == "16"
    assert {key.partition(".")[0] for key in found.data.params} == Train.model_fields.keys()
    sent = {point.step: point.value for point in store.get_metric_history(found.info.run_id, "eval_loss")}
    assert (
        sent == {int(point["step"]): float(point["eval_loss"]) for point in curve(made.report) if point["eval_loss"]}
        and len(sent) == 2
    )
    assert found.data.metrics["final_eval_loss"] == read_json(made.report / "metrics.json")["eval_loss"]


def test_a_store_that_fails_at_the_end_costs_no_adapter(store, base, few, tmp_path, monkeypatch, capsys):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    def fail(*_: object) -> None:
        raise MlflowException("gone")

    monkeypatch.setattr(MlflowClient, "set_tag", fail)
    assert (run(tmp_path, base, few, num_train_epochs=1).adapter / "adapter_model.safetensors").exists()
    assert "MLflow stopped answering (gone)" in capsys.readouterr().err


@pytest.mark.parametrize("targets", [["qproj"], ["q_proj", "qproj"]])
def test_a_layer_that_the_base_lacks_is_refused_where_no_check_could_see_the_base(base, targets):
    from tasks.stages.train.fit import make_model

    with pytest.raises(
        ParamsError,
        match=r"^params\.yaml: train\.tuner\.target_modules names `qproj`, which is not a linear layer .* did you mean "
        r"`q_proj`\?$",
    ):
        make_model(Train(**{**tiny.KINDS, "tuner": {"kind": "lora", "target_modules": targets}}), base, None)
