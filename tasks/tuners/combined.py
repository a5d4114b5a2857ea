"""Several LoRA adapters of one parent made one, weight by weight, by peft's add_weighted_adapter; nothing is learnt.

svd: the best adapter of rank r for the sum of the updates, Σ wᵢ sᵢ BᵢAᵢ (Eckart & Young 1936). cat: that sum itself,
at the sum of the ranks. linear: √(wᵢsᵢ) Bᵢ and √(wᵢsᵢ) Aᵢ are added, whose product has mixed terms, BᵢAⱼ, too. ties
(Yadav et al. 2023, arXiv:2306.01708): the largest values, where they have the sign of most. dare (Yu et al. 2023,
arXiv:2311.03099): a random share of the values, scaled up. Those with svd in their names do so with the updates, the
others with A and B on their own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

from pydantic import Field

from tasks.errors import AnnealError, ParamsError
from tasks.section import Section, suggestion
from tasks.weights import adapters

if TYPE_CHECKING:
    from torch import nn

summary = "nothing: LoRA adapters of several models are made one"
mergeable = True
keeps_parent = True
virtual_tokens = False
grows = False
checkpointing = False
of_models = True
least = 2
learns = False
only_writers = True
parts = frozenset({"lora", "qlora", "combined"})
learning_rates = (5.0e-5, 5.0e-3)
source = "nothing is learnt, so the rate does not matter; it is LoRA's"
save, load, merge = adapters.save, adapters.load, adapters.merge

NAME = "default"  # of an adapter whose folder peft reads and writes without a name


class Params(Section):
    """A weighted combination; names are peft's."""

    kind: Literal["combined"]
    combination_type: Literal[
        "svd", "cat", "linear", "ties", "dare_linear", "dare_ties", "ties_svd", "dare_linear_svd", "dare_ties_svd"
    ] = Field(default="svd", description="how the adapters are made one")
    weights: dict[str, Annotated[float, Field(ge=-100, le=100)]] = Field(
        default={}, description="factor of the update of each model; by default all count the same, and together 1"
    )
    r: adapters.Rank = 16
    density: Annotated[float, Field(gt=0, le=1, description="share of the values that ties and dare keep")] = 0.5
    majority_sign_method: Literal["total", "frequency"] = Field(
        default="total", description="whether ties counts a sign by the values, or by their number"
    )

    @property
    def saved_rank(self) -> int:
        """The rank of the saved adapter, which a server must allow."""
        return self.r


def hot(params: Params) -> bool:
    """The result is LoRA, which vLLM loads."""
    return True


def loading(params: Params) -> dict[str, object]:
    """Nothing beyond the usual."""
    return {}


def attach(params: Params, model: "nn.Module") -> "nn.Module":
    """Without adapters there is nothing to combine."""
    raise ParamsError("params.yaml: train.tuner.kind is combined, and the dataset brings no adapters; see `bundles`.")


def attach_parts(params: Params, model: "nn.Module", parts: Mapping[str, Path]) -> "nn.Module":
    """`model`, frozen, under the one adapter that is made of `parts`; AnnealError if they do not fit."""
    from peft import PeftModel

    from tasks.weights.lora import speed_up

    if words := _problem_of_configs(model, parts):
        raise AnnealError(words)
    names = {model_name: f"part_{place}" for place, model_name in enumerate(parts)}  # a name may hold a dot
    adapted: nn.Module = model
    for model_name, name in names.items():
        if adapted is model:
            adapted = PeftModel.from_pretrained(model, parts[model_name], adapter_name=name)
        else:
            adapted.load_adapter(parts[model_name], adapter_name=name)
    for config in adapted.peft_config.values():
        config.use_rslora = False  # a layer has its scale already, and that of the result, alpha / r, is to be 1
    weights = [weight_of(params, model_name, len(parts)) for model_name in parts]
    adapted.add_weighted_adapter([*names.values()], weights, NAME, **_arguments(params))
    if params.combination_type == "cat":
        _fill_unrounded(adapted, dict(zip(names.values(), weights, strict=True)))
    adapted.set_adapter(NAME)
    for name in names.values():
        adapted.delete_adapter(name)
    adapted.requires_grad_(False)
    speed_up(adapted)
    return adapted


def _fill_unrounded(adapted: "nn.Module", weights: Mapping[str, float]) -> None:
    """Put the matrices of the parts beside each other in fp32: peft has done so in the dtype of the parent."""
    import torch

    for layer in adapted.modules():
        present = [name for name in weights if name in getattr(layer, "lora_A", {})]
        if not present:
            continue
        a, b = layer.lora_A[NAME].weight, layer.lora_B[NAME].weight
        a.data, b.data = torch.zeros_like(a, dtype=torch.float32), torch.zeros_like(b, dtype=torch.float32)
        rows = torch.cat([layer.lora_A[name].weight * weights[name] * layer.scaling[name] for name in present])
        a.data[: len(rows)] = rows
        b.data[:, : len(rows)] = torch.cat([layer.lora_B[name].weight for name in present], dim=1)


def _arguments(params: Params) -> dict[str, object]:
    arguments: dict[str, object] = {"combination_type": params.combination_type}
    if params.combination_type.endswith("svd"):
        arguments |= {"svd_rank": params.r, "svd_full_matrices": False}
    if params.combination_type.startswith(("ties", "dare")):
        arguments |= {"density": params.density, "majority_sign_method": params.majority_sign_method}
    return arguments


def weight_of(params: Params, name: str, count: int) -> float:
    """The factor of the update of the model `name`, one of `count`."""
    return params.weights[name] if params.weights else 1 / count


def _problem_of_configs(model: "nn.Module", parts: Mapping[str, Path]) -> str | None:
    """Why the adapters on disk are not of this parent: what is checked before work, of what was really trained."""
    from peft import LoraConfig

    for name, folder in parts.items():
        base = LoraConfig.from_pretrained(folder).base_model_name_or_path
        if base != Path(model.name_or_path).as_posix():
            return f"the adapter of {name} was trained on {base}, and is to be put on {model.name_or_path}: retrain it."
    return None


def problem(params: Params, model: "nn.Module") -> str | None:
    """None: the adapters fitted the parent when they were trained on it."""
    return None


def problem_of_parts(params: Params, parts: Mapping[str, Section]) -> str | None:
    """Weights of other models, what has no plain matrices, or ranks that the combination cannot take."""
    for name in params.weights:
        if name not in parts:
            return f"weights names `{name}`, whose adapter the dataset does not bring{suggestion(name, parts)}"
    if missing := [name for name in parts if params.weights and name not in params.weights]:
        return f"weights leaves out {missing[0]}, whose adapter the dataset brings; give it a factor."
    for name, part in parts.items():
        if getattr(part, "use_dora", False):
            return (
                f"kind is combined, and {name} learns with use_dora, whose lengths cannot be added; train it without."
            )
    return _problem_of_ranks(params, parts)


def _problem_of_ranks(params: Params, parts: Mapping[str, Section]) -> str | None:
    kind = params.combination_type
    if kind.endswith("svd"):
        return None
    ranks = {name: _rank(part) for name, part in parts.items()}
    listed = ", ".join(f"{name}: {rank}" for name, rank in ranks.items())
    if kind == "cat":
        return _wants(params, sum(ranks.values()), f"cat has the sum of the ranks ({listed})")
    if len({*ranks.values()}) > 1:
        return f"combination_type is {kind}, which takes adapters of one rank ({listed}); use svd or cat."
    if patterned := [name for name, part in parts.items() if getattr(part, "rank_pattern", {})]:
        return f"combination_type is {kind}, and layers of {patterned[0]} have different ranks; use svd or cat."
    return _wants(params, max(ranks.values()), f"{kind} has that of its adapters ({listed})")


def _wants(params: Params, rank: int, why: str) -> str | None:
    return None if params.r == rank else f"r is {params.r}, and the rank of a combination by {why}: write r: {rank}."


def _rank(part: Section) -> int:
    return cast(adapters.LowRank, part).saved_rank
