"""Draws each chart twice, for light and for dark pages."""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

warnings.filterwarnings("ignore", message="Glyph")  # the fonts lack the script of a name and show boxes


@dataclass(frozen=True)
class Colours:
    paper: str
    ink: str
    soft: str
    grid: str
    blue: str
    bar: str


LIGHT = Colours(paper="#ffffff", ink="#1f2937", soft="#4b5563", grid="#e5e7eb", blue="#2563eb", bar="#93b4f5")
DARK = Colours(paper="#18202b", ink="#e6e9ee", soft="#9aa5b4", grid="#2c3644", blue="#7fa8ff", bar="#3d5f9e")


def draw_twice(draw: Callable[[Colours], None]) -> tuple[bytes, bytes]:
    """Return a chart as PNG for light and for dark pages. ``draw`` makes one figure with the colours that it gets."""
    images = []
    for colours in (LIGHT, DARK):
        with plt.rc_context(_settings(colours)):
            draw(colours)
            plt.tight_layout()
            content = io.BytesIO()
            plt.savefig(content, format="png")
            plt.close("all")
        images.append(content.getvalue())
    return images[0], images[1]


def _settings(colours: Colours) -> dict[str, object]:
    return {
        "text.parse_math": False,  # $ means a dollar
        "font.size": 10,
        "text.color": colours.ink,
        "figure.facecolor": colours.paper,
        "axes.facecolor": colours.paper,
        "savefig.facecolor": colours.paper,
        "axes.edgecolor": colours.soft,
        "axes.labelcolor": colours.ink,
        "xtick.color": colours.soft,
        "ytick.color": colours.soft,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 12,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "grid.color": colours.grid,
        "figure.figsize": (7, 3.9),
        "savefig.dpi": 130,
    }
