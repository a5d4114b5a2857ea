"""A base is taken only when its hash is the one in params.yaml, never as pickle or code, and is written whole or not
at all.
"""

import shutil
from pathlib import Path

import pytest

from tasks.errors import AnnealError, ParamsError
from tasks.files import read_json, sha256
from tasks.section import parse
from tasks.stages.base import Base, base
from tests import tiny

pytestmark = pytest.mark.slow  # each test loads a model or a tokenizer


@pytest.fixture
def source(tmp_path) -> Path:
    """A folder with the tiny base as a user would have it: without Anneal's source.json."""
    folder = tiny.make_base(tmp_path / "source")
    (folder / "source.json").unlink()
    return folder


def refused(tmp_path: Path, match: str, **row: str) -> str:
    """The sentence that `row` is refused with; nothing is left behind."""
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(AnnealError, match=match) as raised:
        base(Base(**{"license": "mit", **row}), tmp_path / "weights")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    return str(raised.value)


def test_a_folder_becomes_weights_tokenizer_template_and_source(source, tmp_path):
    base(Base(**tiny.base_row(source)), tmp_path / "weights")
    files = {file.name for file in (tmp_path / "weights").iterdir()}
    assert files == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "source.json",
    }
    found = read_json(tmp_path / "weights" / "source.json")
    assert found["license"] == "apache-2.0" and found["card_name"] == "anneal/tiny"
    assert found["weights_sha256"] == sha256(tmp_path / "weights" / "model.safetensors")
    assert found["template_sha256"] == sha256(source / "chat_template.jinja")


def test_the_weights_and_the_tokens_are_those_of_the_source(source, tmp_path):
    import torch
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    base(Base(**tiny.base_row(source)), tmp_path / "weights")
    there, here = (load_file(folder / "model.safetensors") for folder in (source, tmp_path / "weights"))
    assert there.keys() == here.keys() and all(
        here[name].dtype == torch.bfloat16 and torch.equal(here[name], there[name]) for name in there
    )
    tokenizers = [AutoTokenizer.from_pretrained(folder) for folder in (source, tmp_path / "weights")]
    tokens = [
        tokenizer.apply_chat_template(tiny.prepared_rows(0, 1)[0]["messages"], add_generation_prompt=True)
        for tokenizer in tokenizers
    ]
    assert tokens[0] == tokens[1] and tokenizers[1].eos_token == tokenizers[1].pad_token == tiny.END


def test_the_same_source_gives_the_same_bytes(source, tmp_path):
    for name in ("one", "two"):
        base(Base(**tiny.base_row(source)), tmp_path / name)
    assert sha256(tmp_path / "one") == sha256(tmp_path / "two")


def test_another_hash_is_refused_and_both_are_named(source, tmp_path):
    right = sha256(source / "model.safetensors")
    said = refused(tmp_path, "does not match", folder=str(source), sha256="0" * 64)
    assert "0" * 12 in said and right in said


def test_weights_changed_by_one_byte_are_refused(source, tmp_path):
    row = tiny.base_row(source)
    weights = bytearray((source / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (source / "model.safetensors").write_bytes(weights)
    refused(tmp_path, "does not match", **row)


def test_a_source_without_a_hash_is_refused_with_the_hash_to_put_in(source, tmp_path):
    assert sha256(source / "model.safetensors") in refused(tmp_path, "has no sha256", folder=str(source))


def test_the_hash_of_weights_in_parts_covers_each_part(source, tmp_path):
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(source).save_pretrained(source, max_shard_size="100KB")
    (source / "model.safetensors").unlink(missing_ok=True)
    parts = sorted(source.glob("model-*.safetensors"))
    assert len(parts) > 1
    found = refused(tmp_path, "has no sha256", folder=str(source)).split("its weights have ")[1][:64]
    base(Base(folder=str(source), sha256=found, license="mit"), tmp_path / "weights")
    with parts[-1].open("ab") as file:
        file.write(b" ")
    shutil.rmtree(tmp_path / "weights")
    refused(tmp_path, "does not match", folder=str(source), sha256=found)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    refused(tmp_path, "nowhere does not exist", folder=str(tmp_path / "nowhere"), sha256="0" * 64)


def test_a_package_that_is_not_installed_is_refused(tmp_path):
    refused(
        tmp_path,
        "`no-such-weights` is not installed: run `make setup`",
        package="no-such-weights",
        file="weights.gguf",
        sha256="0" * 64,
    )


@pytest.fixture
def installed(source, tmp_path, monkeypatch) -> Path:
    """The source as files of an installed package `tiny-weights`."""
    site = tmp_path / "site"
    (site / "tiny_weights-1.0.dist-info").mkdir(parents=True)
    (site / "tiny_weights-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
    )
    shutil.move(source, site / "tiny_weights")
    monkeypatch.syspath_prepend(site)
    return site / "tiny_weights"


def test_a_file_of_an_installed_package_is_a_base(installed, tmp_path):
    row = {"package": "tiny-weights", "file": "tiny_weights/model.safetensors", "license": "mit"}
    base(Base(**row, sha256=sha256(installed / "model.safetensors")), tmp_path / "weights")
    assert (tmp_path / "weights" / "source.json").exists()
    refused(
        tmp_path,
        "other.safetensors does not exist",
        **{**row, "file": "tiny_weights/other.safetensors"},
        sha256="0" * 64,
    )


def pickled(folder: Path) -> Path:
    """The weights of `folder` as a pickle, which loads to a file beside it being made, instead of as safetensors."""
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder / "pytorch_model.bin"


def test_a_folder_of_pickles_is_refused(source, tmp_path):
    weights = pickled(source)
    refused(tmp_path, "holds no .*safetensors .*they are code", folder=str(source), sha256=sha256(weights))


def test_a_pickle_in_a_package_is_refused(installed, tmp_path):
    weights = pickled(installed)
    refused(
        tmp_path, "they are code", package="tiny-weights", file="tiny_weights/pytorch_model.bin", sha256=sha256(weights)
    )


def test_code_that_comes_with_a_base_is_not_run_nor_asked_about(source, tmp_path, monkeypatch):
    import json

    monkeypatch.setattr("builtins.input", lambda *_: "y")  # what transformers would ask the person at the terminal
    ran = tmp_path / "ran"
    (source / "modeling_evil.py").write_text(
        f"open({str(ran)!r}, 'w')\nfrom transformers import LlamaConfig as Evil, LlamaForCausalLM as EvilModel\n"
    )
    config = read_json(source / "config.json")
    config.update(
        model_type="evil",
        auto_map={"AutoConfig": "modeling_evil.Evil", "AutoModelForCausalLM": "modeling_evil.EvilModel"},
    )
    (source / "config.json").write_text(json.dumps(config))
    refused(tmp_path, "cannot be loaded", **tiny.base_row(source))
    assert not ran.exists()


def test_weights_cut_short_are_refused_although_the_hash_is_theirs(source, tmp_path):
    weights = source / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    refused(tmp_path, "cannot be loaded", **tiny.base_row(source))


def test_a_base_without_a_chat_template_is_refused(source, tmp_path):
    (source / "chat_template.jinja").unlink()
    refused(tmp_path, "has no chat template; set bases", **tiny.base_row(source))


def test_a_base_that_fails_leaves_the_one_before_it_whole(source, tmp_path, monkeypatch):
    base(Base(**tiny.base_row(source)), tmp_path / "weights")
    before = sha256(tmp_path / "weights")
    monkeypatch.setattr("tasks.stages.base.write_json", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        base(Base(**tiny.base_row(source)), tmp_path / "weights")
    assert sha256(tmp_path / "weights") == before and sorted(path.name for path in tmp_path.iterdir()) == [
        "source",
        "weights",
    ]


WRONG = {
    "two sources": ({"folder": "a", "package": "b", "file": "c"}, "names exactly one source"),
    "no source": ({}, "names exactly one source"),
    "a package without a file": ({"package": "b"}, "names the `file` inside it"),
    "a hub id without a revision": ({"hub_id": "a/b"}, "pins a `revision`"),
    "a branch as revision": ({"hub_id": "a/b", "revision": "main"}, "revision is 'main'"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_row_is_refused_with(kind):
    row, words = WRONG[kind]
    with pytest.raises(ParamsError, match=words):
        parse(Base, {**row, "license": "mit"}, "bases.tiny")
