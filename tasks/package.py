"""Makes what can be shipped: the adapter and the merged weights as safetensors, tokenizer, chat template, hashes and
model card.
"""

import shutil
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tasks import stage
from tasks.card import write_card
from tasks.files import read_json, read_jsonl, sha256, whole_directory, write_json
from tasks.merge import merged_model
from tasks.section import Section


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
        tokenizer.save_pretrained(folder)
        shutil.copy(parent / "chat_template.jinja", folder / "chat_template.jinja")
        write_json(
            folder / "source.json",
            {
                **source,
                "parent": parent.parent.name,
                "weights_sha256": sha256(folder / "model.safetensors")
                if (folder / "model.safetensors").exists()
                else sha256(folder),
            },
        )
    with whole_directory(adapter) as folder:
        shutil.copytree(trained, folder, dirs_exist_ok=True)
        tokenizer.save_pretrained(folder)
        shutil.copy(parent / "chat_template.jinja", folder / "chat_template.jinja")
        shutil.copy(prepared / "format.json", folder / "format.json")
        parts = {file.name: sha256(file) for file in sorted(folder.iterdir())}
        facts = {
            "artifact_sha256": sha256(folder),
            "parts": parts,
            "base_sha256": source["weights_sha256"],
            "template_sha256": source["template_sha256"],
            "divergence": divergence,
        }
        write_json(folder / "artifact.json", facts)
        stands_on = (
            {**source, "card_name": parent.parent.name} if "parent" in source else source
        )  # a model of ours, not the base far below it
        write_card(params, stands_on, read_json(metrics), read_json(intervals), facts, folder / "README.md")
        card.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "README.md", card)


if __name__ == "__main__":
    stage.main(package, Package, "models.{row}.package")
