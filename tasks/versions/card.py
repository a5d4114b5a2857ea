"""Renders a model card in the Hugging Face format from the measurements, and checks that it parses back to them."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import objectives, tuners
from tasks.comparison import contestants
from tasks.errors import AnnealError
from tasks.files import write_text
from tasks.models import heads, labeller

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

    from tasks.stages.package import Package

# The hub's name of the task of a model with this head.
HUB_TASKS: dict[objectives.Head, str] = {
    "lm": "text-generation",
    "seq2seq": "text2text-generation",
    "classes": "text-classification",
    "tags": "token-classification",
    "spans": "question-answering",
    "numbers": "text-classification",  # transformers' own name of a regression over texts
    "scalar": "text-classification",  # of reward models too
}
Json = Mapping[str, Any]  # a file that another stage wrote
TEMPLATE = Path("model_cards/template.md.jinja")


def write_card(params: "Package", source: Json, metrics: Json, intervals: Json, facts: Json, path: Path) -> None:
    """The card at `path`: metadata (base_model, license, model-index …) and text from the template.

    Raises AnnealError when huggingface_hub reads other metadata from the card than was put in.
    """
    from huggingface_hub import ModelCard, ModelCardData

    tuner, objective = tuners.of_folder(path.parent), objectives.of_folder(path.parent)
    hub_task = getattr(objective, "hub_task", HUB_TASKS[objective.head])
    base = source.get("card_name") or source.get("hub_id") or source.get("package") or source.get("folder")
    data = ModelCardData(
        base_model=base,
        base_model_relation="adapter" if tuner.keeps_parent else "finetune",
        datasets=params.datasets,
        language=params.language,
        license=params.license or source["license"],
        library_name="peft" if "adapter_config.json" in facts["parts"] else "transformers",
        pipeline_tag=hub_task,
        model_name=params.title,
        eval_results=_results(params, metrics, hub_task),
    )
    card = ModelCard.from_template(
        data,
        template_path=str(TEMPLATE),
        metrics=metrics,
        contestants=contestants.with_figures(metrics),
        intervals=intervals,
        facts=facts,
        title=params.title,
        base=base,
        tuner=tuner,
        head=_head(path.parent),
        **_cascade(path.parent / labeller.FOLDER),
        loads="peft" if "adapter_config.json" in facts["parts"] else "" if tuner.keeps_parent else "whole",
    )
    write_text(path, str(card) + "\n")
    _check_reads_back(data, ModelCard.load(path).data)


def _cascade(folder: Path) -> dict[str, Any]:
    """`labels`, the columns that the classifier in `folder` predicts, and `prefix`, the beginning of an answer with
    them; empty without a classifier.
    """
    if not folder.exists():
        return {}
    columns = labeller.columns(folder)
    return {"labels": columns, "prefix": labeller.beginning(labeller.answer(folder), dict.fromkeys(columns, "…"))}


def _head(folder: Path) -> dict[str, object]:
    """The content of head.json in `folder`; empty if the head is the parent's."""
    file = folder / heads.FILE
    return {**heads.facts(folder)} if file.exists() else {}


def _results(params: "Package", metrics: Json, hub_task: str) -> "list[EvalResult]":
    """The measures of the tuned model as entries of the model-index."""
    from huggingface_hub import EvalResult

    dataset = params.datasets[0] if params.datasets else "held-out rows"
    return [
        EvalResult(
            task_type=hub_task,
            dataset_type=dataset,
            dataset_name=dataset,
            dataset_split="test",
            metric_type=name,
            metric_name=name,
            metric_value=round(value, 4),
        )
        for name, value in sorted(metrics["tuned"].items())
    ]


def _check_reads_back(data: "ModelCardData", read: "ModelCardData") -> None:
    for name in ("base_model", "base_model_relation", "datasets", "license", "library_name", "pipeline_tag"):
        if getattr(read, name) != getattr(data, name):
            raise AnnealError(
                f"the model card's {name} reads back as {getattr(read, name)!r} instead of {getattr(data, name)!r}: "
                "correct package in params.yaml."
            )
    if len(read.eval_results or []) != len(data.eval_results or []):
        raise AnnealError(
            "the model card's results do not read back: correct package.title and package.datasets in params.yaml."
        )
