"""Which stage makes the prepared rows that a name of params.yaml stands for."""

from typing import TYPE_CHECKING

from tasks.errors import ParamsError
from tasks.section import suggestion

if TYPE_CHECKING:
    from tasks.params import Params

STAGES = {  # of tables
    "datasets": "prepare",
    "mixes": "mix",
    "cascades": "cascade",
    "rubrics": "rubric",
    "retests": "retest",
    "reward_models": "reward_model",
    "references": "reference",
    "bundles": "bundle",
}


def stage_of(params: "Params", name: str) -> str:
    """The stage that writes data/prepared/<name>; ParamsError where no table has such a row."""
    rows = {row: stage for table, stage in STAGES.items() for row in getattr(params, table, {})}
    if name not in rows:
        raise ParamsError(f"params.yaml has no dataset `{name}`{suggestion(name, rows)}")
    return f"{rows[name]}@{name}"
