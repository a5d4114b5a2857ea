"""Small artifacts of the model `things`, registered without any training."""

from pathlib import Path

from tasks.files import sha256, write_json, write_jsonl
from tasks.versions import promotion, registry

NAME = "things"


def register(
    folder: Path, what: str, tags: dict[str, str] | None = None, metrics: dict[str, float] | None = None
) -> registry.Version:
    """The version of the artifact named `what`, which is made in `folder` and always holds the same."""
    adapter, evaluate = folder / what / "adapter", folder / what / "evaluate"
    write_jsonl(adapter / "adapter_model.safetensors", [{"weights": what}])
    write_jsonl(evaluate / "predictions.jsonl", [{"id": "1", "text": what}])
    trained = sha256(adapter / "adapter_model.safetensors")
    write_json(
        adapter / "artifact.json",
        {"artifact_sha256": f"hash-of-{what}", "parts": {"adapter_model.safetensors": trained}},
    )
    return promotion.register(NAME, adapter, evaluate, tags or {}, metrics or {})
