"""Checks that the server can load what is trained, and that prompt and answer fit."""

from collections.abc import Iterator
from pathlib import Path

from tasks import objectives, paths, tuners
from tasks.files import read_json
from tasks.inference.engine.choice import is_installed
from tasks.inference.engine.trained import why_never
from tasks.params import Params, lineage
from tasks.serve.forms import Form, possible
from tasks.stages.base import Base, in_package


def problems(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence for each value of the model `name` that the server cannot serve."""
    model, deploy = params.models[name], params.deploy
    tuner = model.train.tuner
    yield from _problems_of_form(params, name)
    yield from _problems_of_engine(params, name)
    if objectives.of(model.train.objective).head not in objectives.WRITES:
        return  # texts are cut to the base's positions
    rank = getattr(tuner, "saved_rank", 0) if tuners.of(tuner).hot(tuner) else 0
    trained_rank = getattr(tuner, "r", rank)
    saved_as = f", kept as an adapter of rank {rank}" if rank != trained_rank else ""
    if deploy.serve == "adapter" and rank > deploy.max_lora_rank:
        yield (
            f"models.{name}.train.tuner.r is {trained_rank}{saved_as}, and the server takes ranks up to "
            f"deploy.max_lora_rank, {deploy.max_lora_rank}; raise that, lower the rank, or set deploy.serve to merged."
        )
    if model.train.max_length > deploy.max_model_len:
        yield (
            f"models.{name}.train.max_length is {model.train.max_length} tokens, and the server takes "
            "deploy.max_model_len, "
            f"{deploy.max_model_len}; raise that, or train on shorter rows."
        )
    if model.predict.max_new_tokens >= deploy.max_model_len:
        yield (
            f"models.{name}.predict.max_new_tokens is {model.predict.max_new_tokens}, which leaves no room for a "
            "prompt in "
            f"deploy.max_model_len, {deploy.max_model_len}; raise that, or lower max_new_tokens."
        )


def _problems_of_form(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence if the model `name` cannot be served as deploy.serve says."""
    train, serve = params.models[name].train, params.deploy.serve
    tuner = train.tuner
    forms = possible(tuner, objectives.of(train.objective).head)
    if serve in ("auto", "pooling") or serve in forms:  # pooling applies only to models that support it
        return
    required = "loaded into vLLM as an adapter" if serve == "adapter" else "merged into the weights of its parent"
    how = "served as merged weights" if forms == (Form.MERGED,) else "served by transformers"
    yield (
        f"deploy.serve is {serve}, and what models.{name}.train.tuner ({tuner.kind}) trains cannot be {required}; with "
        f"`deploy.serve: auto` it is {how}, and every other model as it can be."
    )


def _problems_of_engine(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence if predict.engine asks vLLM for answers that it cannot write."""
    model = params.models[name]
    if model.predict.engine != "vllm":
        return
    head = objectives.of(model.train.objective).head
    why = why_never(model.train.tuner, head) or ("" if is_installed() else "vLLM is not installed here")
    if why:
        yield f"models.{name}.predict.engine is vllm, and {why}; set it to auto or transformers."


def problems_of_base(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence for each length that exceeds the positions of the base of the model `name`; none while the
    base is missing.
    """
    base, train = lineage(params, name)[-1], params.models[name].train
    folder = config_folder(base, params.bases[base])
    positions = read_json(folder / "config.json").get("max_position_embeddings") if folder else None
    if not isinstance(positions, int):
        return
    virtual = getattr(train.tuner, "num_virtual_tokens", 0)  # in front of each row
    beside = f" beside {virtual} virtual ones" if virtual else ""
    is_cut = objectives.of(train.objective).head not in objectives.WRITES  # at the base's positions, when it is served
    served = () if is_cut else (("deploy.max_model_len", params.deploy.max_model_len),)
    for key, tokens in ((f"models.{name}.train.max_length", train.max_length), *served):
        if tokens + virtual > positions:
            yield f"{key} is {tokens} tokens{beside}, and {base} has positions for {positions}; lower it."


def config_folder(name: str, base: Base) -> Path | None:
    """Return a folder with the base's config.json: that of the stage `base`, or the base's source; None if there is
    none yet.
    """
    places = [paths.weights(name), *([Path(base.folder).expanduser()] if base.folder else [])]
    places += [place] if (place := in_package(base)) else []
    return next((place for place in places if (place / "config.json").is_file()), None)
