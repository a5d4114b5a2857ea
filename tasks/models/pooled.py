"""A classifier as one folder for vLLM's pooling: the merged body, how its tokens are pooled, and all heads stacked into
one layer whose outputs are logits; laid out as sentence-transformers' modules.json, with head.json beside it.
"""

from pathlib import Path

from tasks import tuners
from tasks.files import read_json, write_json
from tasks.models import heads

POOLINGS = {"mean": "mean_tokens", "first": "cls_token", "last": "lasttoken"}  # ours: sentence-transformers'
# Those that give transformers' answers in vLLM 0.32 (tests/tasks/test_pooled.py); it has more, which are not tested.
MODELS = frozenset({"bert", "llama", "modernbert", "qwen2", "qwen3", "roberta", "xlm-roberta"})
DENSE, POOLING = "2_Dense", "1_Pooling"


def knows(base: Path) -> bool:
    """Whether vLLM pools with the body of the base in a folder; False without a config.json."""
    config = base / "config.json"
    return config.is_file() and read_json(config).get("model_type") in MODELS


def write(weights: Path, trained: Path, folder: Path) -> None:
    """Put the classifier in `trained/`, on its parent in `weights/`, into `folder` in fp32."""
    import torch
    from safetensors.torch import save_file

    from tasks.models import encoder
    from tasks.weights import tuned

    model = tuned.load(weights, trained)
    body = tuners.of_folder(trained).merge(model.body)
    if body.config.model_type == "xlm-roberta":  # vLLM reads it, and transformers has dropped it
        body.config.position_embedding_type = "absolute"
    body.save_pretrained(folder)
    encoder.load_tokenizer(weights).tokenizer.save_pretrained(folder)
    stacked = {
        f"linear.{part}": torch.cat([getattr(head, part) for head in model.heads]).detach().cpu().contiguous()
        for part in ("weight", "bias")
    }
    choices, width = stacked["linear.weight"].shape
    for place in (POOLING, DENSE):
        (folder / place).mkdir()
    save_file(stacked, folder / DENSE / "model.safetensors", metadata={"format": "pt"})
    activation = "torch.nn.modules.linear.Identity"  # logits: each column has a softmax of its own
    layer = {"in_features": width, "out_features": choices, "bias": True, "activation_function": activation}
    write_json(folder / DENSE / "config.json", layer)
    pooling = {"word_embedding_dimension": width, f"pooling_mode_{POOLINGS[model.pooling]}": True}
    write_json(folder / POOLING / "config.json", pooling)
    places = {"Transformer": "", "Pooling": POOLING, "Dense": DENSE}
    modules = [
        {"idx": i, "name": str(i), "path": place, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, place) in enumerate(places.items())
    ]
    write_json(folder / "modules.json", modules)
    write_json(folder / heads.FILE, heads.facts(trained))
