"""The plot of the figures: for each aim a bar that says how much of it is reached.

Belongs here: a small SVG that a browser shows by itself, in light and dark. Does not belong here: what is measured.
The scale is logarithmic, so that a tenth of an aim and ten times it stand equally far from the line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from benchmarks.report import Aim

WIDTH, LEFT, RIGHT, LINE, TOP = 900, 390, 70, 22, 34
LEAST, MOST = 0.05, 20.0

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f } .met { fill: #2f7d4f } .missed { fill: #b3541e }
.grid { stroke: #d0d7de } .aim { stroke: #24292f; stroke-width: 2 } .number { font-weight: 600 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .met { fill: #4caf7a } .missed { fill: #e08a55 }
  .grid { stroke: #3d444d } .aim { stroke: #e6edf3 }
}
"""


def draw(aims: Sequence[Aim]) -> str:
    """An SVG with one bar for each aim, in the order of the table's rows."""
    ordered = sorted(aims, key=lambda aim: aim.number)
    height = TOP + LINE * len(ordered) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="How much of each aim is reached"><style>{STYLE}</style>'
    ]
    for share in (0.1, 0.2, 0.5, 1, 2, 5, 10):
        kind = "aim" if share == 1 else "grid"
        x = _x(share)
        parts.append(f'<line class="{kind}" x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{height - 12}"/>')
        parts.append(f'<text x="{x:.1f}" y="{TOP - 14}" text-anchor="middle">{share:.0%}</text>')
    for number, aim in enumerate(ordered):
        y = TOP + LINE * number
        begin, end = sorted((_x(1), _x(aim.reached)))
        kind = "met" if aim.reached >= 1 else "missed"
        label = f"{aim.number}. {aim.name}"
        parts.append(f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(label)}</text>')
        parts.append(
            f'<rect class="{kind}" x="{begin:.1f}" y="{y + 3}" width="{max(end - begin, 1):.1f}" height="{LINE - 8}">'
            f"<title>{escape(f'{aim.found:.3g}{aim.unit}, {aim.words}')}</title></rect>"
        )
        parts.append(f'<text class="number" x="{WIDTH - RIGHT + 8}" y="{y + 14}">{aim.reached:.0%}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _x(share: float) -> float:
    place = math.log(min(max(share, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return LEFT + place * (WIDTH - LEFT - RIGHT)
