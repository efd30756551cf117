"""The macros of formulas, which KaTeX knows and Jupyter does not.

Run in Binder's checkout (``binder/postBuild``), it spells them out in the text of all pages, so it
needs no more than Binder's environment has.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import yaml

CODE = re.compile(r"(^```\{code-cell\}.*?^```$)", re.M | re.S)


def spelt_out(text: str, macros: Mapping[str, str]) -> str:
    """Markdown with what its macros mean in their place; macros with arguments are not known."""
    for macro, meaning in macros.items():
        text = re.sub(rf"{re.escape(macro)}(?![a-zA-Z])", meaning.replace("\\", r"\\"), text)
    return text


def main(root: Path = Path()) -> None:
    config = yaml.safe_load((root / "_config.yml").read_text("utf8"))["sphinx"]["config"]
    for page in (root / "book").glob("*.md"):
        parts = CODE.split(page.read_text("utf8"))  # every second one is code
        parts[::2] = (spelt_out(part, config["katex_macros"]) for part in parts[::2])
        page.write_text("".join(parts), "utf8")


if __name__ == "__main__":
    main()
