"""Templates of HTML pages that hold all they need: the same inputs, the same bytes."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template

STYLES = Path(__file__).parent / "steps/report"  # page.css, which templates include


def template(file: Path, **filters: Callable[..., object]) -> "Template":
    """The template in `file`, with `filters` by their names; what it is not given is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([file.parent, STYLES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(file.name)
