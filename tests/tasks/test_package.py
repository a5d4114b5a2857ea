"""A package answers as what was trained, says what it is made of, is the same bytes every time, and a wrong merge is
refused.
"""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, sha256, write_json
from tasks.stages.package import Package, package
from tasks.weights.tuned import answer

pytestmark = pytest.mark.slow  # each test trains, or loads a model

PARAMS = {"title": "Things by colour", "datasets": ["things"]}


@pytest.fixture
def pack(base, prepared, trained, evaluated, tmp_path):
    """A function that packages into a folder of this test, with `changes` to the section and to what is packaged."""

    def make(
        adapter: Path = trained.adapter, reports: Path = evaluated / "evaluate", **changes: object
    ) -> SimpleNamespace:
        made = SimpleNamespace(
            adapter=tmp_path / "adapter", weights=tmp_path / "weights", card=tmp_path / "cards" / "things.md"
        )
        package(
            Package(**{**PARAMS, **changes}),
            base,
            adapter,
            prepared,
            reports / "metrics.json",
            reports / "intervals.json",
            made.adapter,
            made.weights,
            made.card,
        )
        return made

    return make


def test_the_merged_weights_answer_as_the_adapter_on_its_parent(base, prepared, trained, packaged):
    rows = read_jsonl(prepared / "test.jsonl")[:16]
    apart = answer(base, trained.adapter, rows, 8, 40, "adapter").predictions
    together = answer(packaged.weights, None, rows, 8, 40, "merged").predictions
    assert sum(a["text"] == b["text"] for a, b in zip(apart, together, strict=True)) >= 14
    for a, b in zip(apart, together, strict=True):
        assert a["nll"] == pytest.approx(b["nll"], rel=0.2, abs=0.1)


def test_the_merged_weights_are_a_base_that_can_be_built_on(base, packaged):
    from tasks.dialogues.chat import load_tokenizer

    source = read_json(packaged.weights / "source.json")
    assert (
        source["weights_sha256"] == sha256(packaged.weights / "model.safetensors") != sha256(base / "model.safetensors")
    )
    assert source["parent"] == "tiny" and source["license"] == "apache-2.0"
    assert load_tokenizer(packaged.weights).chat_template == (base / "chat_template.jinja").read_text()
    assert not list(packaged.weights.glob("*.bin"))


def test_every_part_has_its_hash_in_artifact_json(base, packaged):
    facts = read_json(packaged.adapter / "artifact.json")
    files = {file.name for file in packaged.adapter.iterdir()}
    assert files == set(facts["parts"]) | {"artifact.json", "README.md"}
    assert {
        "adapter_model.safetensors",
        "adapter_config.json",
        "tokenizer.json",
        "chat_template.jinja",
        "format.json",
    } <= files
    assert all(sha256(packaged.adapter / name) == found for name, found in facts["parts"].items())
    assert facts["base_sha256"] == sha256(base / "model.safetensors") and facts["template_sha256"] == sha256(
        packaged.adapter / "chat_template.jinja"
    )
    assert 0 <= facts["divergence"] <= 0.02


def test_the_artifacts_hash_is_that_of_its_parts_and_changes_with_each(packaged, tmp_path):
    copy = shutil.copytree(packaged.adapter, tmp_path / "copy")
    for name in ("artifact.json", "README.md"):
        (copy / name).unlink()
    wanted = read_json(packaged.adapter / "artifact.json")["artifact_sha256"]
    assert sha256(copy) == wanted
    with (copy / "format.json").open("a") as file:
        file.write(" ")
    assert sha256(copy) != wanted


def test_the_same_inputs_give_the_same_bytes(packaged, pack):
    again = pack()
    for name in ("adapter", "weights", "card"):
        assert sha256(getattr(again, name)) == sha256(getattr(packaged, name)), name


def test_the_card_reads_back_with_what_was_measured(packaged, evaluated):
    from huggingface_hub import ModelCard

    card = ModelCard.load(packaged.card)
    assert card.data.base_model == "anneal/tiny" and card.data.base_model_relation == "adapter"
    assert (card.data.license, card.data.datasets, card.data.library_name, card.data.language) == (
        "apache-2.0",
        ["things"],
        "peft",
        ["en"],
    )
    measured = read_json(evaluated / "evaluate" / "metrics.json")
    assert {result.metric_type: result.metric_value for result in card.data.eval_results} == {
        name: pytest.approx(value, abs=1e-4) for name, value in measured["tuned"].items()
    }
    assert read_json(packaged.adapter / "artifact.json")["parts"]["adapter_model.safetensors"] in card.text
    for name, value in measured["parent"].items():
        assert f"| {name} | {value:.3f} [" in card.text
    assert packaged.card.read_bytes() == (packaged.adapter / "README.md").read_bytes()


def test_the_card_says_the_confidence_and_what_was_not_measured_and_the_models_name_without_a_title(
    pack, evaluated, tmp_path
):
    reports = tmp_path / "reports"
    for name, changes in (("metrics", {}), ("intervals", {"confidence": 0.8})):
        figures = read_json(evaluated / "evaluate" / f"{name}.json")
        del figures["parent"]["perplexity"]
        write_json(reports / f"{name}.json", {**figures, **changes})
    card = pack(reports=reports, title=None).card
    assert "| perplexity | – | " in card.read_text() and "|---|---|---|\n| " in card.read_text()
    assert "in brackets the 80 % interval" in card.read_text() and f"# {card.stem}\n" in card.read_text()


@pytest.mark.parametrize("title", ['Quotes " and: colons', "# not a heading", "Umlauts äöü — 中文", "{{ jinja }} <b>"])
def test_a_card_keeps_a_title_as_it_is(pack, title):
    from huggingface_hub import ModelCard

    assert ModelCard.load(pack(title=title).card).data.to_dict()["model-index"][0]["name"] == title


def test_a_licence_of_its_own_goes_before_that_of_the_base(pack):
    from huggingface_hub import ModelCard

    assert ModelCard.load(pack(license="mit", datasets=[]).card).data.license == "mit"


def refused(pack, tmp_path: Path, match: str, **changes: object) -> None:
    with pytest.raises(AnnealError, match=match):
        pack(**changes)
    assert [
        path.name
        for path in tmp_path.iterdir()
        if path.name in ("adapter", "weights", "cards") or path.name.startswith(".")
    ] == []


def test_a_wrong_merge_is_refused_and_nothing_is_written(pack, tmp_path, monkeypatch):
    from peft.tuners.lora.layer import Linear

    right = Linear.get_delta_weight
    monkeypatch.setattr(Linear, "get_delta_weight", lambda self, adapter: 1.5 * right(self, adapter))
    refused(
        pack,
        tmp_path,
        r"merged weights do not answer as .*: mean KL \d+\.\d+ nats per token, package.max_divergence allows 0.02",
    )


def test_a_merge_within_rounding_is_refused_when_none_is_allowed(pack, tmp_path):
    refused(pack, tmp_path, "max_divergence allows 1e-12", max_divergence=1e-12)


def test_an_adapter_that_is_not_a_number_is_refused(pack, trained, tmp_path):
    from safetensors.torch import load_file, save_file

    sick = shutil.copytree(trained.adapter, tmp_path / "sick")
    weights = load_file(sick / "adapter_model.safetensors")
    weights[sorted(weights)[0]][0] = float("nan")
    save_file(weights, sick / "adapter_model.safetensors", metadata={"format": "pt"})
    refused(pack, tmp_path, "cannot be merged .* lower learning_rate", adapter=sick)
