"""A row that states no learning rate is given one where the default does not work for its kinds."""

from pathlib import Path

import pytest

from tasks import kinds
from tasks.preflight.defaults import missing_in
from tasks.preflight.sections import complete
from tasks.stages.train.params import Train
from tasks.tuners import working_rates


def completed(text: str, folder: Path) -> str:
    """The file once what it leaves out has been written into it; then nothing is left out."""
    file = folder / "params.yaml"
    file.write_text(text)
    complete(file).write()
    assert complete(file).lines == ()
    return file.read_text()


@pytest.mark.parametrize(
    ("train", "written"),
    [
        ("objective: {kind: dpo}", "tuner: {kind: lora}, learning_rate: 5.0e-05"),
        ("tuner: {kind: prompt}", "objective: {kind: sft}, learning_rate: 1.7e-02"),
        ("objective: {kind: dpo}, tuner: {kind: lora}, learning_rate: 0.1", ""),
        ("objective: {kind: sft}, tuner: {kind: lora}", ""),
        ("objective: {kind: no}, tuner: {kind: lora}", ""),
        ("objective: {kind: dpo}, tuner: 7", ""),
    ],
)
@pytest.mark.parametrize("anchor", ["", "&mine "])
def test_a_rate_is_written_where_the_default_does_not_work_for_the_kinds_and_only_this_row_has_them(
    train: str, written: str, anchor: str, tmp_path: Path
) -> None:
    text = f"models:\n  mine:\n    parent: base\n    dataset: data\n    train: {anchor}{{{train}}}\n"
    new = completed(text, tmp_path)
    if anchor:
        written = written.partition("learning_rate")[0].removesuffix(", ")
    assert f"    train: {anchor}{{{', '.join(filter(None, (train, written)))}}}\n" in new


@pytest.mark.parametrize("objective", kinds.names("tasks.objectives"))
@pytest.mark.parametrize("tuner", kinds.names("tasks.tuners"))
def test_the_rate_that_a_new_row_trains_at_is_one_that_works(objective: str, tuner: str) -> None:
    low, high = working_rates(kinds.load("tasks.tuners", tuner), kinds.load("tasks.objectives", objective))
    default = Train.model_fields["learning_rate"].default
    missing = missing_in({"objective": {"kind": objective}, "tuner": {"kind": tuner}}, {"objective": "", "tuner": ""})
    assert low * 0.99 <= float(missing.get("learning_rate", default)) <= high * 1.01
