"""Renders a matplotlib figure as SVG for inlining: the page's fonts and colours, the same bytes every time."""

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# matplotlib knows no CSS variables: these colours stand for them, and are exchanged in the SVG.
INK, MUTED, GRID, CARD = "#000101", "#000102", "#000103", "#000104"
PARENT, TUNED, RIGHT, WRONG, ON_HEAT, BAD = "#000105", "#000106", "#000107", "#000108", "#000109", "#00010a"
VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    CARD: "card",
    PARENT: "parent",
    TUNED: "tuned",
    RIGHT: "heat",
    WRONG: "heat-wrong",
    ON_HEAT: "on-heat",
    BAD: "bad",
}

STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a class may be named $x$
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


def picture(name: str, size: tuple[float, float], draw: "Callable[[Figure], None]") -> str:
    """The SVG of what `draw` puts on a figure of `size` (width, height) inches; `name` keeps its ids apart from
    other figures'.
    """
    import matplotlib
    from markupsafe import Markup
    from matplotlib.figure import Figure

    file = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        figure.savefig(
            file, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    return Markup(_inline(file.getvalue(), size[0]))  # safe: matplotlib escapes every text it writes


def _inline(svg: str, inches: float) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(
        r'<svg [^>]*viewBox="([^"]*)"[^>]*>',
        rf'<svg viewBox="\1" style="width:{inches * 96:.0f}px" aria-hidden="true">',
        svg,
        count=1,
    )
    svg = re.sub(
        r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL
    )  # it would style the whole page
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"font-family: [^;\"<>]*; ", "", svg)
    svg = re.sub(r' transform="rotate\(-0 [^"]*"', "", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return re.sub(r"\s*\n\s*", "\n", svg)
