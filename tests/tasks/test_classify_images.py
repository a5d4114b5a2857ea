"""What sees is trained, kept and loaded as what it was, whatever its body; how an image is altered follows from its row
and the epoch; and no image is taken for another.
"""

from pathlib import Path
from typing import Any

import pytest

from tasks import tuners
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, sha256
from tasks.objectives import classify_images
from tasks.section import parse
from tasks.stages.base import Base, base
from tasks.stages.train.params import Train
from tasks.weights import tuned
from tests import pictures
from tests.tasks import matrix

pytestmark = pytest.mark.slow  # it loads torch

COUNTS = {"train": 12, "validation": 2, "test": 4}
TRAIN = {"objective": {"kind": "classify_images"}, "tuner": {"kind": "full"}, "bf16": False}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.write_prepared(tmp_path_factory.mktemp("prepared"), COUNTS)


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.make_base(tmp_path_factory.mktemp("vit") / "weights")


def bodies() -> dict[str, Any]:
    from transformers import ConvNextConfig, Dinov2Config, ResNetConfig, SwinConfig

    small = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32}
    return {
        "dinov2": Dinov2Config(**small, image_size=32, patch_size=8),
        "convnext": ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2),
        "resnet": ResNetConfig(hidden_sizes=[8, 16], depths=[1, 1], embedding_size=8, layer_type="basic"),
        "swin": SwinConfig(embed_dim=16, depths=[1, 1], num_heads=[1, 2], image_size=32, patch_size=4, window_size=4),
    }


def of_hub(folder: Path, config: Any) -> Path:
    """A checkpoint with a head, as hubs have it."""
    import torch
    from transformers import AutoModelForImageClassification

    torch.manual_seed(0)
    AutoModelForImageClassification.from_config(config).save_pretrained(folder)
    pictures.write_processor(folder)
    return folder


def as_base(source: Path, folder: Path) -> Path:
    section = {"folder": source.as_posix(), "license": "mit", "sha256": sha256(source / "model.safetensors")}
    base(parse(Base, section, ""), folder)
    return folder


@pytest.mark.parametrize("kind", ["dinov2", "convnext", "resnet", "swin"])
def test_any_body_that_sees_is_tuned_kept_and_loaded(kind: str, prepared: Path, tmp_path: Path) -> None:
    import torch

    weights = as_base(of_hub(tmp_path / "hub", bodies()[kind]), tmp_path / "weights")
    trainer = matrix.trainer_of(tmp_path, weights, prepared, matrix.settings("classify_images", "full"))
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.compute_loss(trainer.model, batch).backward()
    trained = tmp_path / "trained"
    trained.mkdir()
    tuners.save(Train(**TRAIN).tuner, classify_images.body(trainer.model), weights, trained)
    classify_images.save_head(trainer.model, trained)
    rows = read_jsonl(prepared / "test.jsonl")
    reader = tuned.tokenizer(weights, trained)
    loaded = classify_images.log_probabilities(tuned.load(weights, trained), reader, rows)
    with torch.inference_mode():
        own = classify_images.log_probabilities(trainer.model.eval(), reader, rows)
    for ours, theirs in zip(own, loaded, strict=True):
        assert ours.exp().tolist() == [pytest.approx(row, abs=1e-5) for row in theirs.exp().tolist()]


def test_a_base_is_made_of_a_checkpoint_with_a_head_and_keeps_its_processor(tmp_path: Path) -> None:
    from transformers import ViTConfig

    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    hub = of_hub(tmp_path / "hub", ViTConfig(**small, image_size=32, patch_size=8))
    first, second = as_base(hub, tmp_path / "one"), as_base(hub, tmp_path / "two")
    assert sha256(first / "model.safetensors") == sha256(second / "model.safetensors")  # nothing in it is drawn
    processor = read_json(first / "preprocessor_config.json")
    assert processor["image_mean"] == [0.5] * 3 and processor["size"] == {"height": 32, "width": 32}
    assert not list(first.glob("tokenizer*")) and not (first / "chat_template.jinja").exists()
    (hub / "preprocessor_config.json").unlink()
    with pytest.raises(AnnealError, match="cannot be loaded"):
        as_base(hub, tmp_path / "three")


def test_how_an_image_is_altered_follows_from_its_row_and_the_epoch(vit: Path, prepared: Path) -> None:
    rows = read_jsonl(prepared / "train.jsonl")
    params = classify_images.Params(kind="classify_images")
    processor = classify_images.processor(params, vit, rows)
    encoded = [classify_images.encode(params, processor, row) for row in rows]

    def seen(epoch: int | None, which: list[dict[str, Any]]) -> Any:
        of_epoch = which if epoch is None else [{**row, "epoch": epoch} for row in which]
        return classify_images.collate(of_epoch, 0)["pixel_values"]

    plain, first, again, second = (seen(epoch, encoded) for epoch in (None, 0, 0, 1))
    assert first.equal(again) and first[3:6].equal(seen(0, encoded[3:6]))  # also in another batch
    assert not first.equal(second) and not first.equal(plain)
    assert plain.equal(seen(None, encoded)) and plain.shape == (12, 3, 32, 32)
    still = [{**row, "augment": False} for row in encoded]
    assert seen(1, still).equal(plain)


def test_an_image_that_is_gone_or_another_stops_the_run(vit: Path, tmp_path: Path) -> None:
    place = pictures.write_prepared(tmp_path / "prepared", COUNTS)
    first, second, *_ = read_jsonl(place / "train.jsonl")
    reader = classify_images.load_tokenizer(vit)
    file = Path(first["row"]["image_file"])
    file.write_bytes(Path(second["row"]["image_file"]).read_bytes())
    with pytest.raises(AnnealError, match=r"row p0: its image .* differs from the one that was prepared"):
        classify_images.log_probabilities(None, reader, [first])
    file.unlink()
    with pytest.raises(AnnealError, match="row p0: its image .* is not there: run `dvc checkout`"):
        classify_images.log_probabilities(None, reader, [first])


def test_tuners_that_put_tokens_before_a_text_are_refused_before_work() -> None:
    for tuner in ("prompt", "prefix", "p_tuning"):
        (words,) = matrix.refusals("classify_images", tuner)
        assert "classify_images" in words and "use bottleneck, full, ia3, lora or qlora" in words
