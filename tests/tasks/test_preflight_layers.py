"""What the base cannot take is refused from its config alone, without its weights."""

from pathlib import Path

import pytest

from tasks.files import read_json, write_json
from tasks.preflight import checks, layers
from tests import tiny
from tests.sentences import Says
from tests.tasks.own_params import ROWS, changed, refusal, write_rows

pytestmark = pytest.mark.slow  # each test trains, or loads a model


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(ROWS)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny.make_base(tmp_path_factory.mktemp("base") / "tiny")
    (folder / "model.safetensors").unlink()  # its config is enough
    return folder


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (
            ["qproj"],
            "models.mine.train.tuner.target_modules names `qproj`, which is not a linear layer or an embedding of the "
            "base; "
            "did you mean `q_proj`?",
        ),
        (
            ["q_proj", "v_prj"],
            "models.mine.train.tuner.target_modules names `v_prj`, which is not a linear layer or an embedding of the "
            "base; "
            "did you mean `v_proj`?",
        ),
        (
            ["self_attn"],
            "models.mine.train.tuner.target_modules names `self_attn`, which is not a linear layer or an embedding of "
            "the "
            "base; ",
        ),
    ],
)
def test_target_modules_that_name_no_layer_of_the_base_are_refused_from_its_config(
    base: Path, targets: list[str], words: str
) -> None:
    assert refusal(bases__tiny__folder=str(base), models__mine__train__tuner__target_modules=targets).startswith(words)


def test_a_base_that_transformers_does_not_know_is_left_to_its_stage(base: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "odd/config.json", {"model_type": "unheard-of"})
    checks.check(changed(bases__tiny__folder="odd", models__mine__train__tuner__target_modules=["q_proj"]), ["mine"])


def test_target_modules_of_the_base_pass(base: Path) -> None:
    checks.check(
        changed(
            bases__tiny__folder=str(base),
            models__mine__train__tuner__target_modules=[
                "q_proj",
                "layers.0.mlp.up_proj",
                "model.layers.1.mlp.gate_proj",
            ],
        ),
        ["mine"],
    )


def test_more_tokens_than_the_base_has_positions_for_are_refused(base: Path) -> None:
    said = refusal(bases__tiny__folder=str(base), deploy__max_model_len=4096)
    assert said == "deploy.max_model_len is 4096 tokens, and tiny has positions for 2048; lower it."


def test_virtual_tokens_take_positions_as_well(base: Path) -> None:
    tuner = {"kind": "prompt", "num_virtual_tokens": 30}
    changes = {"bases__tiny__folder": str(base), "models__mine__train__tuner": tuner}
    said = refusal(**changes, deploy__max_model_len=2019, deploy__serve="auto")
    assert (
        said == "deploy.max_model_len is 2019 tokens beside 30 virtual ones, and tiny has positions for 2048; lower it."
    )
    checks.check(changed(**changes, deploy__max_model_len=2018, deploy__serve="auto"), ["mine"])


def test_layers_that_cannot_be_told_are_refused_from_the_config(base: Path, tmp_path: Path) -> None:
    config = read_json(base / "config.json")
    write_json(tmp_path / "flat/config.json", {**config, "num_hidden_layers": 0, "layer_types": []})
    full = {"kind": "full", "layer_decay": 0.9}
    words = refusal(bases__tiny__folder="flat", models__mine__train__tuner=full)
    assert words == Says(
        "models.mine.train.tuner.layer_decay", "no layers were recognised in a LlamaForCausalLM", "leave it out"
    )
    checks.check(changed(bases__tiny__folder=str(base), models__mine__train__tuner=full), ["mine"])


@pytest.mark.parametrize(("epochs", "lines"), [(2.5, 0), (2, 1), (0.5, 1)])
def test_layers_whose_turn_to_learn_never_comes_are_remarked_on(base: Path, epochs: float, lines: int) -> None:
    full = {"kind": "full", "gradual_unfreezing": True}
    changes = {"bases__tiny__folder": str(base), "models__mine__train__num_train_epochs": epochs}
    found = list(layers.remarks(changed(**changes, models__mine__train__tuner=full), "mine"))
    assert found == lines * [
        Says(
            f"models.mine.train.num_train_epochs is {epochs:g}",
            "tuner.gradual_unfreezing",
            f"in epoch 3: the lowest {1 if epochs == 2 else 2} of 4 groups",
        )
    ]
    assert not list(layers.remarks(changed(**changes), "mine"))


@pytest.mark.parametrize(("epochs", "late"), [(4, 0), (3, 1), (1, 3)])
def test_a_head_that_is_yet_to_be_made_learns_before_the_last_layer(base: Path, epochs: float, late: int) -> None:
    train = {
        "objective": {"kind": "classify"},
        "tuner": {"kind": "full", "gradual_unfreezing": True},
        "num_train_epochs": epochs,
    }
    found = list(layers.remarks(changed(bases__tiny__folder=str(base), models__mine__train=train), "mine"))
    assert bool(found) == bool(late)
    assert all(f"begin to learn in epoch 4: the lowest {late} of 4 groups of weights stay" in line for line in found)
