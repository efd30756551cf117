"""The theme's script is changed at the one place that is known, or the build stops."""

from pathlib import Path

import pydata_sphinx_theme
import pytest

import theme_script

THEME = Path(pydata_sphinx_theme.__file__).parent / "theme/pydata_sphinx_theme/static"
LOADS = 'window.addEventListener("load",'


@pytest.fixture
def script(tmp_path):
    copy = tmp_path / theme_script.SCRIPT.name
    copy.write_text((THEME / theme_script.SCRIPT).read_text("utf8"), "utf8")
    return copy


def test_the_theme_no_longer_measures_all_boxes_and_does_the_rest(script):
    before = script.read_text("utf8")
    assert before.count(LOADS) == 1
    theme_script.calm(script)
    after = script.read_text("utf8")
    assert LOADS not in after
    assert len(before) - len(after) < 100
    theme_script.calm(script)
    assert script.read_text("utf8") == after


def test_another_script_stops_the_build(script):
    script.write_text("(()=>{})();", "utf8")
    with pytest.raises(theme_script.ThemeError, match="at 0 places, 1 was expected"):
        theme_script.calm(script)
