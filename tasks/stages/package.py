"""Builds the artifact: learnt and merged weights as safetensors, tokenizer, chat template, hashes and model card."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tasks import stage, tuners
from tasks.dataset.rows import Prepared
from tasks.files import read_json, read_jsonl, sha256, whole_directory, write_json
from tasks.formats import tools
from tasks.models import labeller
from tasks.section import Section
from tasks.versions.card import write_card
from tasks.weights.merge import check_finite, write_merged
from tasks.weights.tuned import tokenizer_folder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Package(Section):
    """The model card's contents, and how far merging may change the answers."""

    title: (
        Annotated[str, Field(min_length=1, description="title of the model card; by default the model's name")] | None
    ) = None
    datasets: list[str] = Field(default=[], description="names on the card")
    language: list[str] = Field(default=["en"], description="ISO 639-1 codes for the card")
    license: str | None = Field(default=None, description="license id; by default that of the base")
    max_divergence: Annotated[
        float, Field(gt=0, description="mean KL divergence of the merged weights from the adapter, in nats per token")
    ] = 0.02


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

    If the tuner cannot be merged, `weights/` holds only a source.json that says so. Raises AnnealError if the merged
    weights diverge from the adapter on its parent.
    """
    from tasks.models.architecture import load_processor

    params = params.model_copy(update={"title": params.title or card.stem})
    source = read_json(parent / "source.json")
    tokenizer = load_processor(tokenizer_folder(parent, trained))  # unchanged, without the padding set for batches
    divergence = _write_weights(params, tokenizer, parent, trained, read_jsonl(prepared / "test.jsonl"), weights)
    with whole_directory(adapter) as folder:
        shutil.copytree(trained, folder, dirs_exist_ok=True)
        _add_tokenizer(tokenizer, parent, folder)
        shutil.copy(prepared / "format.json", folder / "format.json")
        if (classifier := prepared / labeller.FOLDER).exists():  # of a cascade: it is served with the model
            shutil.copytree(classifier, folder / labeller.FOLDER)
        facts = _artifact(source, divergence, folder)
        write_json(folder / "artifact.json", facts)
        # The card names the direct parent, not the base that this was tuned from in turn.
        card_source = {**source, "card_name": parent.parent.name} if "parent" in source else source
        write_card(params, card_source, read_json(metrics), read_json(intervals), facts, folder / "README.md")
        card.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "README.md", card)


def _write_weights(
    params: Package,
    tokenizer: "PreTrainedTokenizerBase",
    parent: Path,
    trained: Path,
    rows: list[Prepared],
    weights: Path,
) -> float | None:
    """Write `weights/`; return the divergence of the merged weights, None if the tuner cannot be merged."""
    tuner, divergence = tuners.settings_of(trained), None
    with whole_directory(weights) as folder:
        if tuners.of(tuner).mergeable:
            divergence = write_merged(parent, trained, rows, params.max_divergence, folder)
            _add_tokenizer(tokenizer, parent, folder)
            source = _merged_source(read_json(parent / "source.json"), parent, folder)
        else:
            check_finite(parent, trained, rows)
            source = {"parent": parent.parent.name, "not_merged": tuner.model_dump()}
        write_json(folder / "source.json", source)
    return divergence


def _add_tokenizer(tokenizer: "PreTrainedTokenizerBase", parent: Path, folder: Path) -> None:
    tokenizer.save_pretrained(folder)
    if (template := parent / "chat_template.jinja").exists():  # encoders have none
        shutil.copy(template, folder / template.name)


def _merged_source(source: Mapping[str, object], parent: Path, folder: Path) -> dict[str, object]:
    """The source.json of the merged weights in `folder`; the hash is of the one file, or of the folder if sharded."""
    weights = folder / "model.safetensors"
    return {
        **source,
        "parent": parent.parent.name,
        "weights_sha256": sha256(weights if weights.exists() else folder),
    }


def _artifact(source: Mapping[str, object], divergence: float | None, folder: Path) -> dict[str, object]:
    """The hashes of the adapter in `folder` and of its base, and how it was tuned."""
    return {
        "artifact_sha256": sha256(folder),
        "parts": {file.name: sha256(file) for file in sorted(folder.iterdir())},
        "base_sha256": source["weights_sha256"],
        "template_sha256": source.get("template_sha256"),
        "tuner": tuners.settings_of(folder).model_dump(),
        "divergence": divergence,  # None if it cannot be merged
        **_tools(folder),
    }


def _tools(folder: Path) -> dict[str, str | None]:
    """The name of vLLM's tool parser, where answers may call tools; None if no parser is known."""
    if not read_json(folder / "format.json").get("tools"):
        return {}
    return {"tool_parser": tools.parser((folder / "chat_template.jinja").read_text(encoding="utf-8"))}


if __name__ == "__main__":
    stage.main(package, Package, "models.{row}.package")
