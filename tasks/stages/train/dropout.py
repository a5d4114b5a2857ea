"""The dropout of a base in training (Srivastava et al. 2014, JMLR 15)."""

from pathlib import Path

from tasks.errors import ParamsError

# The keys of transformers' configurations for dropout in layers and in attention.
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
    """Arguments of from_pretrained that set the dropout of the base in `weights/` to `share`; none if `share` is None.

    Raises ParamsError if its configuration has no dropout.
    """
    if reason := problem(share, weights):
        raise ParamsError(f"params.yaml: train.{reason}")
    return {} if share is None else dict.fromkeys(_named(weights), share)


def problem(share: float | None, weights: Path) -> str | None:
    """Why dropout cannot be set for the base in `weights/`, in a sentence that begins with the key; None if it can."""
    if share is None or _named(weights):
        return None
    return "dropout has no effect, since this base has no dropout; leave it out."


def _named(weights: Path) -> list[str]:
    """The keys of dropout in the base's configuration, whether its file sets them or leaves transformers' defaults."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(weights, trust_remote_code=False)
    return [name for name in NAMES if hasattr(config, name)]
