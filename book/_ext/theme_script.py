"""One thing that the theme's script does not do on this site: measure every box that may scroll.

It would lay out the whole page as soon as it is loaded, which ``booksite.css`` leaves to the moment
when a section comes near. ``site/scrollers.js`` gives such boxes the keyboard's focus instead.
"""

import re
from pathlib import Path

SCRIPT = Path("scripts/pydata-sphinx-theme.js")
MEASURES_ALL = re.compile(
    r',"complete"===document\.readyState\?(\w+)\(\):window\.addEventListener\("load",\1\)'
)
DONE = "/* does not measure all boxes */\n"


class ThemeError(RuntimeError):
    """The theme's script is not the one that this module knows."""


def calm(script: Path) -> None:
    """Take the measuring out of the theme's script; once.

    Raises:
        ThemeError: If the script has no such place, or several.
    """
    code = script.read_text("utf8")
    if code.startswith(DONE):
        return
    code, places = MEASURES_ALL.subn("", code)
    if places != 1:
        raise ThemeError(f"{script.name} measures boxes at {places} places, 1 was expected")
    script.write_text(DONE + code, "utf8")
