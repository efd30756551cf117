"""Pictures are data, not drawings: they look the same on a light page and on a dark one."""

from typing import Any

from matplotlib.axes import Axes

from bnnbook import checks
from bnnbook.plotting import palette


def show(ax: Axes, pixels: Any) -> None:
    """Draw one grey picture, ink dark on white paper, and hide the axes.

    Args:
        ax: where to draw; a figure needs each of its axes once.
        pixels: shape (rows, columns), the ink from 0 (none) to 255, as in MNIST's files.

    Raises:
        ValueError: where the pixels are no finite array of two dimensions between 0 and 255.
    """
    ink = checks.finite_array("pixels", pixels, ndim=2)
    if ink.min() < 0 or ink.max() > 255:
        raise checks.fail("pixels", "between 0 and 255", (float(ink.min()), float(ink.max())))
    image = ax.imshow(255 - ink, cmap="gray", vmin=0, vmax=255)
    axes = ax.get_figure(root=True).axes  # type: ignore[union-attr]
    image.set_gid(f"{palette.PICTURE}{axes.index(ax)}")
    ax.axis("off")
