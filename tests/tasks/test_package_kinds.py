"""A package of whole weights holds them byte by byte; one of what cannot be merged says so, and both answer as what was
trained.
"""

from pathlib import Path

import pytest

from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, sha256
from tasks.weights.tuned import answer
from tests.tasks import matrix
from tests.tasks.matrix_checks import package

pytestmark = pytest.mark.slow  # each test trains


@pytest.fixture(scope="module", params=["full", "prompt", "bottleneck"])
def made(request, base, few, tmp_path_factory) -> tuple[str, Path, Path]:
    """(tuner, what was trained, the folder of its package)."""
    place = tmp_path_factory.mktemp(request.param)
    trained = matrix.run(place, base, few, matrix.settings("sft", request.param, num_train_epochs=2)).adapter
    package(base, trained, few, place)
    return request.param, trained, place


def test_a_package_answers_as_what_was_trained(made, base, few):
    tuner, trained, place = made
    rows = read_jsonl(few / "test.jsonl")
    before = answer(base, trained, rows, 4, 8, "trained").predictions
    assert answer(base, place / "adapter", rows, 4, 8, "packaged").predictions == before
    if tuner == "full":
        assert answer(place / "weights", None, rows, 4, 8, "weights").predictions == before


def test_what_is_in_weights(made, base):
    tuner, trained, place = made
    facts, source = read_json(place / "adapter/artifact.json"), read_json(place / "weights/source.json")
    if tuner == "full":
        assert sha256(place / "weights/model.safetensors") == sha256(trained / "model.safetensors")
        assert source["weights_sha256"] == sha256(trained / "model.safetensors") and facts["divergence"] == 0
    else:
        assert source == {"parent": "tiny", "not_merged": facts["tuner"]} and facts["divergence"] is None
    assert facts["base_sha256"] == sha256(base / "model.safetensors")


def test_the_card_says_what_it_is(made):
    from huggingface_hub import ModelCard

    tuner, _, place = made
    card = ModelCard.load(place / "card.md")
    kinds = {"full": ("finetune", "transformers"), "prompt": ("adapter", "peft")}
    assert (card.data.base_model_relation, card.data.library_name) == kinds.get(tuner, ("adapter", "transformers"))
    said = (
        "There is nothing to merge." if tuner == "full" else "cannot be merged into the base: it is served beside it."
    )
    assert said in card.text and f"tuned ({tuner}: " in card.text and f"| kind | {tuner} |" in card.text


def test_what_is_not_a_number_is_refused(made, base, few, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    _, trained, _ = made
    sick = shutil.copytree(trained, tmp_path / "sick")
    file = min(sick.glob("*.safetensors"))
    weights = load_file(file)
    weights[max(weights)][0] = float("nan")
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(AnnealError, match="produces values that are not numbers: lower learning_rate and train again"):
        package(base, sick, few, tmp_path)
    assert not (tmp_path / "weights").exists() and not (tmp_path / "adapter").exists()
