"""Figures that follow the page: one inline SVG for light and dark, with its words and its data.

Draw with Matplotlib as usual, then end the cell with :func:`show`::

    plots.style()
    fig, ax = plt.subplots()
    ax.plot(steps, accuracy)
    plots.show(fig, alt="Accuracy rises from 35 % at 4 steps to 98 % at 64 steps.")
"""

from __future__ import annotations

import hashlib
import html
import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours. The first four keep a contrast of 3:1 or more on white and on the
# book's dark page alike; black becomes the colour of the page's text (see `show`).
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
INK = "#000000"
ORANGE, SKY = "#E69F00", "#56B4E9"
GREY = "#808080"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, INK, ORANGE, SKY)

_RC = {
    "figure.figsize": (6.0, 3.4),  # inches; with 12-point text it still reads on a phone
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "font.size": 12,
    "axes.titlesize": 12,
    "axes.labelsize": 12,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.fontsize": 11,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.8,
    "lines.linewidth": 2.0,
    "lines.markersize": 5,
    "image.interpolation": "none",
    "image.cmap": "viridis",
}


def style() -> None:
    """Set Matplotlib's defaults to the book's: sizes, colours, transparent backgrounds."""
    import matplotlib as mpl

    mpl.rcParams.update(_RC)
    mpl.rcParams["axes.prop_cycle"] = mpl.cycler(color=CYCLE)


class InlineFigure:
    """A finished figure: what :func:`show` returns and a notebook displays.

    Attributes:
        alt: The text that stands for the picture.
        svg: The picture, one ``<svg>`` element.
    """

    def __init__(self, svg: str, alt: str, table: str = "") -> None:
        self.svg, self.alt, self._table = svg, alt, table

    def _repr_html_(self) -> str:
        return f'<div class="mst-figure" style="margin: 0.5em 0">{self.svg}{self._table}</div>'

    def __repr__(self) -> str:
        return f"Figure: {self.alt}"


def show(fig: Figure, alt: str, table: Mapping[str, Sequence[Any]] | None = None) -> InlineFigure:
    """Turn a Matplotlib figure into inline SVG that reads on light and dark pages, and close it.

    Black lines and text take the page's text colour, the background is transparent, and the
    same figure gives the same bytes every time.

    Args:
        fig: The figure.
        alt: What a reader who cannot see the figure needs to know from it.
        table: The data behind it as ``{column title: values}``, folded away below the figure.

    Returns:
        An object that notebooks show as HTML.

    Raises:
        ValueError: If ``alt`` is empty, or the table's columns differ in length.
    """
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    if not alt.strip():
        raise ValueError("show() needs alt text: say what the figure shows.")
    rows = _table_html(table) if table else ""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "mst"}):
        fig.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    plt.close(fig)
    return InlineFigure(_inline(buffer.getvalue(), alt), alt, rows)


def raster(ax: Axes, spikes: Any, color: str = INK) -> None:
    """Draw a spike raster: one short upright line for each spike.

    Args:
        ax: Where to draw.
        spikes: Zeros and ones, shape ``(T, N)``: time step by neuron.
        color: Of the lines.

    Raises:
        ValueError: If ``spikes`` is not two-dimensional.
    """
    spikes = np.asarray(spikes)
    if spikes.ndim != 2:
        raise ValueError(f"raster() needs spikes of shape (T, N), got {spikes.shape}.")
    step, neuron = np.nonzero(spikes)
    # One path with gaps, not one element a spike: the page stays small.
    x = np.repeat(step + 1, 3).astype(float)
    y = (neuron[:, None] + [-0.4, 0.4, np.nan]).ravel()
    ax.plot(x, y, color=color, linewidth=1.3, solid_capstyle="butt")
    ax.set(
        xlim=(0.3, len(spikes) + 0.7),
        ylim=(spikes.shape[1] - 0.5, -0.5),
        xlabel="time step",
        ylabel="neuron",
    )
    ax.grid(visible=False)


def with_error(ax: Axes, x: Any, mean: Any, sd: Any, **line: Any) -> None:
    """Draw a line with a band of one standard deviation on each side.

    Args:
        ax: Where to draw.
        x: Positions, shape ``(K,)``.
        mean: Heights of the line, shape ``(K,)``.
        sd: Half-heights of the band, shape ``(K,)``.
        **line: Passed on to ``ax.plot`` (``label``, ``color``, ``marker``, …).
    """
    mean, sd = np.asarray(mean), np.asarray(sd)
    (drawn,) = ax.plot(x, mean, **line)
    ax.fill_between(x, mean - sd, mean + sd, color=drawn.get_color(), alpha=0.25, linewidth=0)


def _inline(svg: str, alt: str) -> str:
    """Make Matplotlib's SVG file fit to stand inside a page, beside others of its kind."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r"(fill|stroke): #000000", r"\1: currentColor", svg)
    svg = re.sub(r"<image ", '<image style="image-rendering: pixelated" ', svg)
    # A hundredth of a point is finer than any screen.
    svg = re.sub(
        r' (d|x|y)="[^"]*"', lambda m: re.sub(r"(\.\d\d)\d+", r"\1", m.group()), svg, flags=re.S
    )
    # Keep only the ids that something refers to, and make them this figure's own.
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    own = "f" + hashlib.sha256((svg + alt).encode()).hexdigest()[:10]
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{own}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{own}-", svg)
    # A style sheet in a figure is the whole page's: every line there would follow it, and each
    # figure would make the browser style the page anew. What it says is said of the figure below.
    svg = re.sub(r"<defs>\s*<style[^>]*>[^<]*</style>\s*</defs>\s*", "", svg)
    width = float(re.search(r'<svg[^>]* width="([\d.]+)pt"', svg)[1])
    view = re.search(r'viewBox="[^"]+"', svg)[0]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{view} role="img" aria-label="{html.escape(alt)}" fill="currentColor" '
        f'style="display: block; width: 100%; max-width: {width:.0f}pt; height: auto; '
        'stroke-linejoin: round; stroke-linecap: butt">'
    )
    return head + svg[svg.index(">") + 1 :]


def _table_html(table: Mapping[str, Sequence[Any]]) -> str:
    """The data table of a figure, folded away."""
    columns = {name: list(values) for name, values in table.items()}
    if len({len(values) for values in columns.values()}) > 1:
        lengths = ", ".join(f"{name}: {len(values)}" for name, values in columns.items())
        raise ValueError(f"the columns of a figure's table must have one length; got {lengths}.")
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(value))}</td>" for value in row) + "</tr>"
        for row in zip(*columns.values(), strict=True)
    )
    return (
        f"<details><summary>The numbers in this figure</summary><table>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></details>"
    )


def _cell(value: Any) -> str:
    """A value as text, numbers with at most three decimals."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return str(value)
