"""Every colour of a figure is told from the page, light and dark."""

import pytest

from bnnbook.plotting import palette
from contrast import contrast, seen_through

#: Enough for text, and more than the 3 that lines and marks need.
LEAST = 4.5
#: The grid is a guide for the eye and may be missed.
FAINT = {palette.BACKGROUND, palette.GRID}


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("rgb(119, 119, 119)", "#ffffff") == contrast("#ffffff", "#777777")
    assert seen_through("#000000", 0.5, "#ffffff") == "rgb(127.50, 127.50, 127.50)"


@pytest.mark.parametrize("colour", sorted(palette.DARK.keys() - FAINT))
def test_a_colour_stands_out_on_light_and_on_dark_pages(colour):
    assert contrast(colour, palette.BACKGROUND) >= LEAST
    assert contrast(palette.DARK[colour], palette.DARK[palette.BACKGROUND]) >= LEAST


def test_lines_of_one_figure_have_different_colours():
    assert len(set(palette.CYCLE)) == len(palette.CYCLE)
    assert len({palette.DARK[colour] for colour in palette.CYCLE}) == len(palette.CYCLE)
