"""How much of what a base computes is left out at random while it is trained (Srivastava et al. 2014, JMLR 15)."""

from pathlib import Path

from tasks.errors import ParamsError
from tasks.files import read_json

# What the configurations of transformers call it, layer by layer and in attention.
NAMES = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "hidden_dropout",
    "embedding_dropout",
    "mlp_dropout",
    "dropout_rate",
    "resid_pdrop",
    "embd_pdrop",
    "attn_pdrop",
)


def settings(share: float | None, weights: Path) -> dict[str, float]:
    """Arguments of from_pretrained by which the base in `weights/` drops `share` of its states; none where the base's
    own shares hold.

    Raises ParamsError where its configuration names no dropout.
    """
    if share is None:
        return {}
    names = [name for name in NAMES if name in read_json(weights / "config.json")]
    if not names:
        raise ParamsError("params.yaml: train.dropout has no effect, since this base has no dropout; leave it out.")
    return dict.fromkeys(names, share)
