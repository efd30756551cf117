"""The look of every figure, set by a call and never by an import."""

from typing import Any, cast

import matplotlib as mpl
import matplotlib.pyplot as plt
from cycler import cycler

from bnnbook.plotting import palette

WIDTH = 6.4
"""Width in inches of a figure that fills the text column."""

LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))


def settings() -> dict[str, Any]:
    """Matplotlib's settings for the book, as a dictionary for ``rcParams``."""
    lines = cycler(color=palette.CYCLE) + cycler(linestyle=LINE_STYLES)
    return {
        "figure.figsize": (WIDTH, 3.6),
        "figure.facecolor": palette.BACKGROUND,
        "figure.constrained_layout.use": True,
        "axes.facecolor": palette.BACKGROUND,
        "axes.edgecolor": palette.MUTED,
        "axes.labelcolor": palette.TEXT,
        "axes.prop_cycle": lines,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.titlesize": 11,
        "axes.labelsize": 11,
        "font.size": 11,
        "grid.color": palette.GRID,
        "legend.frameon": False,
        "legend.fontsize": 10,
        "lines.linewidth": 1.8,
        "patch.edgecolor": palette.TEXT,
        "text.color": palette.TEXT,
        "xtick.color": palette.MUTED,
        "ytick.color": palette.MUTED,
        "xtick.labelcolor": palette.TEXT,
        "ytick.labelcolor": palette.TEXT,
        "hatch.color": palette.MUTED,
        "savefig.facecolor": palette.BACKGROUND,
        "svg.fonttype": "path",
        # The same figure gives the same file, whatever the day and the process.
        "svg.hashsalt": "bnnbook",
    }


def use() -> None:
    """Set Matplotlib's settings for this process, and SVG for figures shown in a notebook."""
    plt.rcdefaults()
    mpl.rcParams.update(cast(Any, settings()))
    from IPython.core.getipython import get_ipython

    if get_ipython() is not None:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg", metadata={"Date": None}, bbox_inches=None)
