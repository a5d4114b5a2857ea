"""Writes the encoder of a model's probe if the row names none, and checks it."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, cast

from pydantic import ValidationError

from tasks.models import architecture
from tasks.params import Params
from tasks.preflight.serving import config_folder
from tasks.preflight.yaml_edit import Change, as_written, in_one_line, into, table_of, value_of
from tasks.section import suggestion
from tasks.stages.base import Base

if TYPE_CHECKING:
    from ruamel.yaml.nodes import MappingNode

KEY = "probe"


def encoder_for(parent: str, bases: Mapping[object, object]) -> str:
    """Return the first of `bases` that is known to be an encoder, else `parent`; of a `parent` that writes, the probe
    uses nothing.
    """
    return next((str(name) for name, base in bases.items() if _is_encoder(str(name), base)), parent)


def is_named(row: Mapping[object, object]) -> bool:
    """True if a row of `models` names the encoder of its probe."""
    section = row.get(KEY)
    return isinstance(section, Mapping) and "encoder" in section


def left_out(
    text: str, place: str, row: Mapping[object, object], node: "MappingNode", encoder: str, known: set[int]
) -> "Iterator[Change]":
    """Yield the encoder if the `probe` section of the model at `place` leaves it out. `known` are the sections already
    handled, since an alias may share one between rows.
    """
    section, entry = row.get(KEY), value_of(node, KEY)  # one that is merged in from another row is written there
    if not isinstance(section, Mapping) or "encoder" in section or entry is None or id(entry) in known:
        return
    values = {"encoder": in_one_line(encoder)}
    known.add(id(entry))
    edit = into(text, node, cast("MappingNode", entry), values)
    yield Change(edit, f"`encoder: {encoder}` in {place}.{KEY}", "because there was none")


def section(text: str, node: "MappingNode", encoder: str) -> str:
    """Return the section for a row that has none, as it is written."""
    return as_written(table_of({"encoder": in_one_line(encoder)}), text, node)


def problems(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence if the encoder of the model `name` is neither a base nor its parent."""
    model, known = params.models[name], [*params.bases]
    encoder = model.probe.encoder
    if encoder and encoder not in known and encoder != model.parent:
        yield (
            f"models.{name}.probe.encoder is '{encoder}', which is not a row of bases and not its "
            f"parent{suggestion(encoder, [*known, model.parent])}"
        )


def _is_encoder(name: str, base: object) -> bool:
    try:
        folder = config_folder(name, Base.model_validate(base))
    except ValidationError:
        return False  # reported when the section is parsed
    return folder is not None and architecture.of_folder(folder) == "encoder"
