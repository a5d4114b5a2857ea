"""Converts a base (a package's file, a folder or a pinned hub revision) into a folder of safetensors that
from_pretrained loads.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from tasks import stage
from tasks.dialogues.templates import Name, single_text_template, template
from tasks.errors import AnnealError, TransientError
from tasks.files import sha256, whole_directory, write_json, write_text
from tasks.inference.decoding import make_greedy
from tasks.models import architecture, languages
from tasks.models.architecture import Architecture
from tasks.section import Section


class Base(Section):
    """Where weights come from: exactly one of `package` + `file`, `folder`, or `hub_id` + `revision`."""

    package: str | None = None
    file: str | None = Field(None, description="path of a GGUF or safetensors file, or a folder, inside the package")
    folder: str | None = Field(None, description="a folder that from_pretrained can load")
    hub_id: str | None = Field(None, description="owner/name on the Hugging Face hub")
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$", description="commit on the hub")] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="hash of the source weights")] | None = None
    license: str = Field(description="SPDX license id, for the model card")
    card_name: str | None = Field(None, description="hub id given as base_model on the card")
    chat_template: Name = Field("own", description="the base's own template, or a named one of ours")

    src_lang: str | None = Field(None, description="source language of a multilingual base, by its tokenizer's code")
    tgt_lang: str | None = Field(None, description="target language of a multilingual base, by its tokenizer's code")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if [self.package, self.folder, self.hub_id].count(None) != 2:
            raise ValueError(
                "a base names exactly one source: `package` (with `file`), `folder`, or `hub_id` (with `revision`)"
            )
        if self.package and not self.file:
            raise ValueError("a base from a package names the `file` inside it")
        if self.hub_id and not self.revision:
            raise ValueError("a base from the hub pins a `revision` (the 40 digits of a commit)")
        return self


def base(params: Base, weights: Path) -> None:
    """Verify the source's SHA-256 and write `weights/`: safetensors, tokenizer, source.json, and a chat template for
    bases that write. Decoder-only bases are stored in bf16, others in the precision that they came in.

    Raises AnnealError if the source is missing, its hash differs, or a base that writes has no chat template that it
    can be trained with.
    """
    source = _locate(params)
    _verify(params, source)
    with whole_directory(weights) as folder:
        kind = _convert(params, source, weights.parent.name, folder)
        if kind == "encoder_decoder":
            _write_single_text_template(params, source.name, weights.parent.name, folder)
        if kind in architecture.WRITERS:
            _write_chat_template(params, source.name, weights.parent.name, folder)
        chat_template = folder / "chat_template.jinja"
        write_json(
            folder / "source.json",
            {
                **params.model_dump(exclude_none=True, exclude_defaults=True),
                "weights_sha256": sha256(folder / "model.safetensors")
                if (folder / "model.safetensors").exists()
                else sha256(folder),
                **({"template_sha256": sha256(chat_template)} if chat_template.exists() else {}),
            },
        )


def _write_single_text_template(params: Base, source: str, name: str, folder: Path) -> None:
    """Write a template to `folder` that encodes one text as the tokenizer does; AnnealError if none can, or if `params`
    name one for dialogues.
    """
    from transformers import AutoTokenizer

    if params.chat_template != "own":
        raise AnnealError(
            f"bases.{name}.chat_template is {params.chat_template}, and base {source} has an encoder, which reads a "
            "text as it is; leave chat_template out."
        )
    text = single_text_template(AutoTokenizer.from_pretrained(folder, trust_remote_code=False))
    if text is None:
        raise AnnealError(
            f"base {source}: its tokenizer adds tokens to a text that a template cannot write; use another base."
        )
    write_text(folder / "chat_template.jinja", text)


def _write_chat_template(params: Base, source: str, name: str, folder: Path) -> None:
    """Write the template that `params` name to `folder`; AnnealError if the base has no trainable one."""
    from transformers import AutoTokenizer

    from tasks.dialogues.chat_template import problem

    file = folder / "chat_template.jinja"
    if params.chat_template != "own":
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        has_bos = tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
        write_text(file, template(params.chat_template, has_bos))
    if not file.exists():
        raise AnnealError(
            f"base {source}: its tokenizer has no chat template; set bases.{name}.chat_template to chatml or alpaca in "
            "params.yaml, use an instruction-tuned base, or add chat_template.jinja to the folder."
        )
    if reason := problem(AutoTokenizer.from_pretrained(folder, trust_remote_code=False)):
        raise AnnealError(f"base {source}: {reason}.")


def in_package(params: Base) -> Path | None:
    """The path of a base's file or folder inside its package; None for other bases, and if it is not installed."""
    from importlib.metadata import PackageNotFoundError, distribution

    if not (params.package and params.file):
        return None
    try:
        return Path(str(distribution(params.package).locate_file(params.file)))
    except PackageNotFoundError:
        return None


def _locate(params: Base) -> Path:
    if params.package:
        path = in_package(params)
        if path is None:
            raise AnnealError(
                f"params.yaml: the base's package `{params.package}` is not installed: run `make setup`, or install "
                "it in .venv."
            )
    elif params.folder:
        path = Path(params.folder).expanduser()
    else:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError

        hub_id = params.hub_id or ""
        patterns = ["*.safetensors", "*.json", "*.jinja", "tokenizer*", "*.model"]
        try:
            path = Path(snapshot_download(hub_id, revision=params.revision, allow_patterns=patterns))
        except (HfHubHTTPError, OSError) as error:
            raise TransientError(
                f"base {hub_id}@{(params.revision or '')[:8]} could not be fetched from the hub "
                f"({type(error).__name__}): check the id, the network and HF_TOKEN."
            ) from None
    if not path.exists():
        raise AnnealError(f"params.yaml: the base's source {path} does not exist.")
    if path.is_file() and path.suffix not in (".gguf", ".safetensors"):
        raise AnnealError(
            f"params.yaml: the base's file {path.name} is neither GGUF nor safetensors (pickled weights are not "
            "loaded: they are code)."
        )
    return path


def _verify(params: Base, source: Path) -> None:
    if params.sha256 is None and params.hub_id:
        return  # a hub revision is itself a hash
    actual = sha256(source) if source.is_file() else _sha256_of_weights(source)
    if params.sha256 is None:
        raise AnnealError(
            f"params.yaml: the base has no sha256; its weights have {actual}: add it if you trust {source.name}."
        )
    if actual != params.sha256:
        raise AnnealError(
            f"base {source.name} does not match: params.yaml expects sha256 {params.sha256[:12]}…, the file has "
            f"{actual[:12]}…; reinstall it, or correct sha256 if you trust this file ({actual})."
        )


def _sha256_of_weights(folder: Path) -> str:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise AnnealError(
            f"base folder {folder} holds no *.safetensors (pickled weights are not loaded: they are code)."
        )
    if len(files) == 1:
        return sha256(files[0])
    return hashlib.sha256("".join(f"{file.name} {sha256(file)}\n" for file in files).encode()).hexdigest()


def _convert(params: Base, source: Path, name: str, folder: Path) -> Architecture:
    """Write weights and the tokenizer or image processor as from_pretrained loads them; return the kind of model."""
    import torch
    from safetensors import SafetensorError
    from transformers import GgufConfig

    gguf = {"gguf_file": source.name} if source.suffix == ".gguf" else {}
    location = source.parent if source.is_file() else source
    # Without dequantize the GGUF weights stay packed and cannot be saved.
    packed = {"quantization_config": GgufConfig(dequantize=True)} if gguf else {"use_safetensors": True}
    try:
        kind: Architecture = "causal" if gguf else architecture.of_folder(location)
        dtype = torch.bfloat16 if kind == "causal" else "auto"
        # Not the default, which asks the person at the terminal whether to run code that came with the weights.
        model, loaded = architecture.auto_class(kind).from_pretrained(
            location, dtype=dtype, trust_remote_code=False, output_loading_info=True, **gguf, **packed
        )
        codes = languages.arguments(params.src_lang, params.tgt_lang)
        processor = architecture.load_processor(location, **gguf, **codes)
    except (OSError, ValueError, SafetensorError) as error:
        if isinstance(error, OSError) and error.errno and not isinstance(error, FileNotFoundError):
            raise  # the machine's trouble, not the files'
        reason = " ".join(str(error).split())[:200]
        raise AnnealError(
            f"base {source.name} cannot be loaded ({reason}): use one with intact files and an architecture that "
            "transformers supports."
        ) from None
    _refuse_missing(kind, source, loaded["missing_keys"])
    if kind in architecture.WRITERS:
        make_greedy(model)  # transformers refuses to save some configs that it loads
    if kind != "vision":
        languages.begin(model, processor, name, params.src_lang, params.tgt_lang)
    else:
        model = architecture.without_pooler(model)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return kind


def _refuse_missing(kind: Architecture, source: Path, keys: Iterable[str]) -> None:
    """Raise AnnealError if a model that needs all of its weights lacks some."""
    missing = sorted(key for key in keys if not (kind == "vision" and key.startswith("pooler.")))
    if kind in ("encoder_decoder", "vision") and missing:
        which = "of its decoder " if kind == "encoder_decoder" else ""
        raise AnnealError(
            f"base {source.name} lacks weights {which}({', '.join(missing[:3])} …), which would start as noise; use "
            "a complete one."
        )


if __name__ == "__main__":
    stage.main(base, Base, "bases.{row}")
