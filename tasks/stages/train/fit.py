"""Builds the transformers Trainer for a section: which weights are trained, in what precision, on what batches."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tasks import objectives, tuners
from tasks.dataset import bundled
from tasks.dataset.encoded import Completion, Encoded, Processor, shared_prefix
from tasks.device import attention, compute_dtype, device
from tasks.errors import ParamsError
from tasks.models import vocabulary
from tasks.stages.train import dropout, online, processes, trackers
from tasks.stages.train.history import History
from tasks.stages.train.online import Parts
from tasks.stages.train.params import Train
from tasks.stages.train.schedule import SCHEDULES, freeze
from tasks.weights import layer_groups

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import TrainingArguments

    from tasks.stages.train.checkpoints import LearntWeights
    from tasks.stages.train.trainer import ObjectiveTrainer


def make_trainer(
    params: Train,
    parent: Path,
    processor: Processor,
    rows: Mapping[str, Sequence[Encoded]],
    run: Path,
    prepared: Path | None = None,
) -> "tuple[LearntWeights, History]":
    """(a Trainer that learns `train` of `rows`, is evaluated on `validation` and can read the others, with its
    checkpoints in `run/`; the history that it fills). An online objective needs the folder `prepared`, where the rubric
    is; so does a tuner of what other models learnt.
    """
    from transformers import EarlyStoppingCallback, PrinterCallback

    objective = objectives.of(params.objective)
    history = History(params, run)
    model = make_model(params, parent, processor, prepared)
    groups = _groups(params, model)
    freeze(model, groups, math.ceil(params.num_train_epochs) - 1)  # for good what would begin after the last epoch
    if "encoder" in objective.architectures and not params.fsdp:
        _narrow(params, objective.body(model), rows, processor)
    schedule = SCHEDULES.get(params.lr_scheduler_type)
    stopping = [EarlyStoppingCallback(params.early_stopping_patience)] if params.load_best_model_at_end else []
    followers = trackers.callbacks(params.report_to, run) if processes.is_first() else []
    parts = Parts(
        params=params,
        parent=parent,
        model=model,
        processor=processor,
        rows=rows,
        prepared=prepared,
        arguments=settings_of_arguments(params, run),
        callbacks=[history, *([history.guard] if history.guard else []), *stopping, *followers],
        groups=groups,
        schedule=partial(schedule, cut_frac=params.warmup_ratio) if schedule else None,
    )
    kind = objectives.online(params.objective)
    trainer = online.of(kind).trainer(parts) if kind else _trainer_on_rows(parts)
    trainer.remove_callback(PrinterCallback)
    return trainer, history


def _groups(params: Train, model: "nn.Module") -> tuple[layer_groups.Group, ...]:
    """What learns at rates of its own: layers, and a head."""
    rate = layer_groups.head_rate(params.objective, params.learning_rate) / params.learning_rate
    layers = layer_groups.groups(params.tuner, model)
    return layer_groups.with_head(layers, model, objectives.of(params.objective).body(model), rate)


def _trainer_on_rows(parts: Parts) -> "LearntWeights":
    """The Trainer of an objective that learns from the rows themselves."""
    from transformers import TrainingArguments

    from tasks.models import fast_lora

    params, processor, rows = parts.params, parts.processor, parts.rows
    objective, tuner = objectives.of(params.objective), tuners.of(params.tuner)
    shares = objective.shares_prefix and not tuner.virtual_tokens and not objective.packs(params.objective)
    whole = not params.gradient_checkpointing and not params.fsdp  # one drops keys and values that are passed in
    read = cast("list[Completion]", [row for split in rows.values() for row in split])
    prefix = shared_prefix(read) if shares and whole else []
    return _kind(params)(
        objective=objective,
        settings=params.objective,
        prefix=prefix,
        core=fast_lora.of(parts.model) if whole else None,
        groups=parts.groups,
        schedule=parts.schedule,
        model=parts.model,
        args=TrainingArguments(**parts.arguments),
        train_dataset=rows["train"],
        eval_dataset=rows["validation"],
        data_collator=lambda batch: objective.collate(batch, processor.pad_token_id, len(prefix)),
        callbacks=list(parts.callbacks),
    )


def _kind(params: Train) -> "type[ObjectiveTrainer]":
    """The Trainer of one process, of several, or of several that divide the weights."""
    if processes.count() == 1:
        from tasks.stages.train.trainer import ObjectiveTrainer

        return ObjectiveTrainer
    if params.fsdp:
        from tasks.stages.train.sharded_trainer import ShardedTrainer

        return ShardedTrainer
    from tasks.stages.train.shared_trainer import SharedTrainer

    return SharedTrainer


def _narrow(params: Train, body: "nn.Module", rows: Mapping[str, Sequence[Encoded]], processor: Processor) -> None:
    """Leave rows that are never read out of the embedding, if that is the same training."""
    from tasks.stages.train import embedding

    if params.weight_decay == 0 and params.optim in embedding.ELEMENTWISE:
        embedding.narrow(body, [row for split in rows.values() for row in split], processor.pad_token_id)


def make_model(params: Train, parent: Path, processor: Processor, prepared: Path | None = None) -> "nn.Module":
    """The parent with its tuner and its head attached; frozen weights are in the precision of the computation."""
    objective, tuner = objectives.of(params.objective), tuners.of(params.tuner)
    arguments = {"dtype": precision(params), "attn_implementation": attention()}
    arguments |= dropout.settings(params.dropout, parent)
    body = objective.parent(parent, {**arguments, **tuner.loading(params.tuner)})
    if new := vocabulary.of(params.objective):
        vocabulary.grow(body, parent, new)
    if reason := tuner.problem(params.tuner, body):
        raise ParamsError(f"params.yaml: train.tuner.{reason}")
    of_models = tuners.of_models(params.tuner)
    parts = bundled.at_least(of_models.least, prepared) if of_models else {}
    return objective.with_head(params.objective, tuners.attach(params.tuner, body, parts), processor)


def precision(params: Train) -> "torch.dtype":
    """The dtype of a run's computation on this machine; ParamsError if the machine does not support it."""
    import torch

    if params.fp16:
        if device() != "cuda":
            raise ParamsError("params.yaml: train.fp16 needs a GPU; leave it out, and bf16 at its default.")
        return torch.float16
    return compute_dtype() if params.bf16 else torch.float32


def make_arguments(params: Train, run: Path) -> "TrainingArguments":
    """TrainingArguments of a section."""
    from transformers import TrainingArguments

    return TrainingArguments(**settings_of_arguments(params, run))


def settings_of_arguments(params: Train, run: Path) -> dict[str, object]:
    """Arguments of TrainingArguments for a section; batches hold rows of like length, so that little is padding."""
    watched, greater = objectives.of(params.objective).watch
    share = min(params.eval_steps, math.nextafter(1, 0))  # transformers reads 1 as every step
    return dict(
        output_dir=str(run),
        **_settings_of_steps(params),
        num_train_epochs=params.num_train_epochs,
        **processes.share(params),
        per_device_eval_batch_size=params.per_device_train_batch_size,
        average_tokens_across_devices=False,  # the Trainer of ours counts them, without rows that are filled in
        ddp_find_unused_parameters=True,  # layers that are frozen now, a pooler that no loss reads
        use_cpu=device() == "cpu",
        remove_unused_columns=False,
        prediction_loss_only=True,
        label_names=["labels"],  # of every objective; transformers looks for them in the forward pass of a model
        eval_strategy="steps",
        eval_steps=share,
        save_strategy="steps",
        save_steps=share,
        save_total_limit=None if hasattr(params.objective, "limits") else 2,  # the guard may go back to any
        load_best_model_at_end=params.load_best_model_at_end,
        metric_for_best_model=watched,
        greater_is_better=greater,
        restore_callback_states_from_checkpoint=True,  # above all the patience already used
        logging_steps=5,
        logging_first_step=True,  # so that the shortest run has a loss to show
        logging_nan_inf_filter=False,
        include_num_input_tokens_seen="non_padding",
        report_to="none",
        disable_tqdm=True,
        seed=params.seed,
        data_seed=params.seed,
    )


def _settings_of_steps(params: Train) -> dict[str, object]:
    """The settings of the optimizer, its schedule and the precision."""
    import torch

    dtype = precision(params)
    held_in = tuners.of(params.tuner).loading(params.tuner).get("dtype", dtype)
    return {
        "learning_rate": params.learning_rate,
        "warmup_steps": params.warmup_ratio,
        "lr_scheduler_type": "constant" if params.lr_scheduler_type in SCHEDULES else params.lr_scheduler_type,
        "max_grad_norm": params.max_grad_norm,
        "weight_decay": params.weight_decay,
        "optim": params.optim,
        "optim_args": params.optim_args,
        "adam_beta1": params.adam_beta1,
        "adam_beta2": params.adam_beta2,
        "adam_epsilon": params.adam_epsilon,
        "bf16": dtype == torch.bfloat16 != held_in,  # autocast, for weights that learn and are held in fp32
        "fp16": dtype == torch.float16,
        "gradient_checkpointing": params.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
    }
