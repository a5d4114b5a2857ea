"""The picture of bench/three_adapters.py: who holds which weights, and what swaps, tokens and memory cost."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

WIDTH, ONE, THREE, INK, MUTED = 760, "#2f6fab", "#c2703d", "#1c2430", "#5d6877"
LEFT, BARS, ROW, TOP = 20, 230, 46, 214  # where labels and bars begin, and the height of a pair of bars
LONGEST = 400  # of a bar
ROWS = (  # label, figure, unit, factor, whether more is better
    ("Memory", "memory_mib", "MiB", 1.0, False),
    ("Swap: load and first token", "swap_seconds", "s", 1.0, False),
    ("First token, alone", "alone_seconds", "ms", 1000.0, False),
    ("First token under load", "first_token_under_load_seconds", "ms", 1000.0, False),
    ("Tokens a second under load", "tokens_per_second", "", 1.0, True),
)


def draw(figures: Mapping[str, Any]) -> str:
    """An SVG of the figures, that stands on any background."""
    shared, three = figures["one_server"], figures["three_servers"]
    shared = {**shared, "alone_seconds": shared["first_token_other_adapter_seconds"]}
    three = {**three, "alone_seconds": three["first_token_other_model_seconds"]}
    height = TOP + ROW * len(ROWS) + 34
    parts = [*_servers(list(figures["tasks"])), *_bars(shared, three)]
    parts.append(
        _text(
            LEFT,
            height - 14,
            f"{figures['clients']} clients under load, answers of {figures['tokens_of_an_answer']} tokens, "
            f"{figures['cores']} cores; bench/three_adapters.py",
            11,
            MUTED,
        )
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            'font-family="system-ui, sans-serif" role="img" aria-label="Three adapters behind one server, beside three '
            'servers with merged weights">',
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def _servers(tasks: list[str]) -> Iterator[str]:
    """Both ways: a base with adapters in one box, and a box for each merged model."""
    yield _text(LEFT, 30, "One server, three adapters of one base", 15, ONE, bold=True)
    yield _text(400, 30, "Three servers of merged weights", 15, THREE, bold=True)
    yield _box(LEFT, 46, 340, 140, ONE, 0.08)
    yield _box(LEFT + 14, 122, 312, 50, ONE, 0.25)
    yield _text(LEFT + 170, 152, "base", 13, INK, centred=True)
    for place, task in enumerate(tasks):
        x = LEFT + 14 + place * 106
        yield _box(x, 62, 100, 36, ONE, 0.5)
        yield _text(x + 50, 85, task, 13, INK, centred=True)
        yield f'<path d="M{x + 50} 98v24" stroke="{ONE}" stroke-width="2"/>'
        x = 400 + place * 114
        yield _box(x, 46, 106, 140, THREE, 0.08)
        yield _box(x + 8, 86, 90, 86, THREE, 0.25)
        yield _text(x + 53, 126, "base +", 13, INK, centred=True)
        yield _text(x + 53, 144, task, 13, INK, centred=True)


def _bars(single: Mapping[str, float], three: Mapping[str, float]) -> Iterator[str]:
    """A pair of bars for each figure, to the scale of the longer."""
    for place, (label, name, unit, factor, more) in enumerate(ROWS):
        y, values = TOP + place * ROW, (single[name] * factor, three[name] * factor)
        yield _text(LEFT, y + 15, label, 13, INK)
        yield _text(LEFT, y + 30, "more is better" if more else "less is better", 10, MUTED)
        for line, (value, colour) in enumerate(zip(values, (ONE, THREE), strict=True)):
            length = max(1.0, LONGEST * value / max(*values, 1e-9))
            yield f'<rect x="{BARS}" y="{y + line * 18}" width="{length:.1f}" height="14" rx="2" fill="{colour}"/>'
            yield _text(BARS + length + 6, y + line * 18 + 11, f"{shown(value)} {unit}".strip(), 12, INK)


def shown(value: float) -> str:
    """Three digits of a number, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _box(x: float, y: float, width: float, height: float, colour: str, opacity: float) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{colour}" fill-opacity="{opacity}" '
        f'stroke="{colour}"/>'
    )


def _text(x: float, y: float, words: str, size: int, colour: str, bold: bool = False, centred: bool = False) -> str:
    extra = (' font-weight="600"' if bold else "") + (' text-anchor="middle"' if centred else "")
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}"{extra}>{escape(words)}</text>'
