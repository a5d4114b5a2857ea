"""A base with an encoder beside its decoder is trained for seq2seq and nothing else, and no other base for that; what
fits none is refused before work, in a sentence that names what does.
"""

import json
from pathlib import Path

import pytest

from tasks.errors import ParamsError
from tasks.preflight import checks, sections

pytestmark = pytest.mark.slow  # transformers, which knows the types, loads torch
T5 = {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True}
LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
UNKNOWN = {"model_type": "nonsense"}
BERT = {"model_type": "bert", "architectures": ["BertModel"]}
LINES = [{"source": f"Where is thing {n}?", "target": f"On shelf {n}."} for n in range(8)]


def write(folder: Path, config: dict, train: str = "", prepare: str = "shape: pair", base: str = "") -> None:
    (folder / "base").mkdir()
    (folder / "base/config.json").write_text(json.dumps(config))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in LINES))
    (folder / "params.yaml").write_text(
        f"bases:\n  small: {{folder: base, sha256: '{'0' * 64}', license: mit{base}}}\n"
        f"datasets:\n  mine: {{ingest: {{source: rows.jsonl}}, prepare: {{{prepare}}}}}\n"
        f"models:\n  m: {{parent: small, dataset: mine, train: {{{train}}}}}\n"
    )


def refusal(folder: Path, **written: object) -> str:
    write(folder, **written)
    with pytest.raises(ParamsError) as refused:
        checks.check_file()
    return str(refused.value)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("config", "expected"), [(T5, "seq2seq"), (LLAMA, "sft")])
def test_what_names_no_objective_gets_the_one_of_its_base(tmp_path: Path, config: dict, expected: str) -> None:
    write(tmp_path, config)
    assert f"objective: {{kind: {expected}}}" in sections.complete().text


@pytest.mark.parametrize(
    ("config", "kind", "words"),
    [
        (
            T5,
            "sft",
            "small reads a text and writes another (its config.json says so); use seq2seq, or use a base that ",
        ),
        (LLAMA, "seq2seq", "small writes and has no encoder beside it (its config.json says so); use sft, or use a "),
        (BERT, "seq2seq", "small reads and does not write (its config.json says so); "),
    ],
)
def test_an_objective_of_another_base_is_refused(tmp_path: Path, config: dict, kind: str, words: str) -> None:
    said = refusal(tmp_path, config=config, train=f"objective: {{kind: {kind}}}")
    assert f"models.m.train.objective.kind is {kind}, and {words}" in said


@pytest.mark.parametrize(
    ("config", "is_refused"), [({"model_type": "resnet"}, True), (BERT, False), (LLAMA, False), (UNKNOWN, False)]
)
def test_dropout_of_a_base_that_has_none_is_refused(tmp_path: Path, config: dict, is_refused: bool) -> None:
    said = refusal(tmp_path, config=config, train="objective: {kind: seq2seq}, dropout: 0.1")
    assert ("models.m.train.dropout has no effect, since this base has no dropout; leave it out." in said) == is_refused


def test_an_encoder_is_told_no_system_message(tmp_path: Path) -> None:
    prepare = "shape: pair, system: 'Be brief.'"
    said = refusal(tmp_path, config=T5, train="objective: {kind: seq2seq}", prepare=prepare)
    assert "datasets.mine.prepare.system is given, and small has an encoder, which reads one text: put the" in said


def test_an_encoder_has_no_template_for_dialogues(tmp_path: Path) -> None:
    said = refusal(tmp_path, config=T5, train="objective: {kind: seq2seq}", base=", chat_template: chatml")
    assert "bases.small.chat_template is chatml, and small has an encoder, which reads a text as it is" in said


def test_a_prefix_is_of_causal_models(tmp_path: Path) -> None:
    said = refusal(tmp_path, config=T5, train="objective: {kind: seq2seq}, tuner: {kind: prefix}")
    assert "which has an encoder read a text, and tuner.kind prefix puts its own tokens before it" in said
    assert "p_tuning, prompt or qlora." in said


def test_a_type_that_overflows_is_not_trained_in_float16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.device.device", lambda: "cuda")
    said = refusal(tmp_path, config=T5, train="objective: {kind: seq2seq}, fp16: true, bf16: false")
    assert "models.m.train.fp16 is true, and small is a t5, which overflows in float16; leave it out." in said


def test_what_is_well_written_is_not_refused_for_its_kinds(tmp_path: Path) -> None:
    said = refusal(tmp_path, config=T5, prepare="shape: pair, user: 'summarize: {{ source }}'")
    assert "DVC must find what is left out" in said and "kind: seq2seq" in said
