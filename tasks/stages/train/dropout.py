"""How much of what a base computes is left out at random while it is trained (Srivastava et al. 2014, JMLR 15)."""

from pathlib import Path

from tasks.errors import ParamsError

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
    if words := problem(share, weights):
        raise ParamsError(f"params.yaml: train.{words}")
    return {} if share is None else dict.fromkeys(_named(weights), share)


def problem(share: float | None, weights: Path) -> str | None:
    """Why the base in `weights/` cannot drop `share`, in a sentence that begins with the key; None where it can."""
    if share is None or _named(weights):
        return None
    return "dropout has no effect, since this base has no dropout; leave it out."


def _named(weights: Path) -> list[str]:
    """What the base's configuration calls it, whether its file says so or leaves it at transformers' default."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(weights, trust_remote_code=False)
    return [name for name in NAMES if hasattr(config, name)]
