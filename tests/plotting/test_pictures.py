"""Pictures keep their greys on a dark page, and say so in the figure's source."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest

from bnnbook.plotting import palette, pictures
from figures import foreign_paints


def drawn(draw):
    fig, axes = plt.subplots(1, 2)
    for ax in axes:
        draw(ax)
    out = io.StringIO()
    fig.savefig(out, format="svg")
    plt.close(fig)
    return out.getvalue()


def test_a_picture_is_let_through_to_a_dark_page_and_another_raster_is_not():
    pixels = np.arange(784).reshape(28, 28) % 256
    mine = drawn(lambda ax: pictures.show(ax, pixels))
    assert 'id="picture-0"' in mine
    assert 'id="picture-1"' in mine
    assert "a raster image" not in foreign_paints(mine, palette.DARK)
    # Mutation: not by its mark.
    bare = drawn(lambda ax: ax.imshow(pixels, cmap="gray"))
    assert "a raster image" in foreign_paints(bare, palette.DARK)


def test_ink_is_dark():
    fig, ax = plt.subplots()
    pictures.show(ax, [[0, 255]])
    np.testing.assert_array_equal(ax.images[0].get_array(), [[255, 0]])
    plt.close(fig)


@pytest.mark.parametrize("pixels", [np.zeros(784), [[0.0, np.nan]], [[-1.0]], [[256.0]]])
def test_what_is_no_picture_is_named(pixels):
    fig, ax = plt.subplots()
    with pytest.raises(ValueError, match="pixels"):
        pictures.show(ax, pixels)
    plt.close(fig)
