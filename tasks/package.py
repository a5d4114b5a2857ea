"""Makes what can be shipped: the adapter and the merged weights as safetensors, tokenizer, chat template, hashes and
model card.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tasks import stage
from tasks.card import write_card
from tasks.files import read_json, read_jsonl, sha256, whole_directory, write_json
from tasks.merge import merged_model
from tasks.section import Section

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Package(Section):
    """What goes on the card, and how far merging may change the answers."""

    title: (
        Annotated[str, Field(min_length=1, description="one line for the card; the model's name when not given")] | None
    ) = None
    datasets: list[str] = Field(default=[], description="names on the card")
    language: list[str] = Field(default=["en"], description="ISO 639-1 codes for the card")
    license: str | None = Field(default=None, description="licence id; that of the base when not given")
    max_divergence: Annotated[float, Field(gt=0, description="mean KL between adapter and merged, nats a token")] = 0.02


def package(
    params: Package,
    parent: Path,
    trained: Path,
    prepared: Path,
    metrics: Path,
    intervals: Path,
    adapter: Path,
    weights: Path,
    card: Path,
) -> None:
    """Write `adapter/`, `weights/` (merged) and the model card `card`; `adapter/artifact.json` holds the hash of each
    part.

    Raises AnnealError when the merged weights diverge from adapter-on-parent.
    """
    from transformers import AutoTokenizer

    params = params.model_copy(update={"title": params.title or card.stem})
    source = read_json(parent / "source.json")
    tokenizer = AutoTokenizer.from_pretrained(parent)  # as it came, not as it pads in a batch
    model, divergence = merged_model(parent, trained, read_jsonl(prepared / "test.jsonl"), params.max_divergence)
    with whole_directory(weights) as folder:
        model.save_pretrained(folder)
        _add_tokenizer(tokenizer, parent, folder)
        write_json(folder / "source.json", _merged_source(source, parent, folder))
    with whole_directory(adapter) as folder:
        shutil.copytree(trained, folder, dirs_exist_ok=True)
        _add_tokenizer(tokenizer, parent, folder)
        shutil.copy(prepared / "format.json", folder / "format.json")
        facts = _artifact(source, divergence, folder)
        write_json(folder / "artifact.json", facts)
        # A model of ours, not the base far below it.
        stands_on = {**source, "card_name": parent.parent.name} if "parent" in source else source
        write_card(params, stands_on, read_json(metrics), read_json(intervals), facts, folder / "README.md")
        card.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "README.md", card)


def _add_tokenizer(tokenizer: "PreTrainedTokenizerBase", parent: Path, folder: Path) -> None:
    tokenizer.save_pretrained(folder)
    shutil.copy(parent / "chat_template.jinja", folder / "chat_template.jinja")


def _merged_source(source: dict, parent: Path, folder: Path) -> dict:
    """What the merged weights in `folder` stand on; the hash is that of the one file, of all when they are sharded."""
    weights = folder / "model.safetensors"
    return {
        **source,
        "parent": parent.parent.name,
        "weights_sha256": sha256(weights if weights.exists() else folder),
    }


def _artifact(source: dict, divergence: float, folder: Path) -> dict:
    """The hashes of the adapter in `folder` and of what it stands on."""
    return {
        "artifact_sha256": sha256(folder),
        "parts": {file.name: sha256(file) for file in sorted(folder.iterdir())},
        "base_sha256": source["weights_sha256"],
        "template_sha256": source["template_sha256"],
        "divergence": divergence,
    }


if __name__ == "__main__":
    stage.main(package, Package, "models.{row}.package")
