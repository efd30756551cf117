"""Spell out, in Binder's checkout, the macros of formulas, which JupyterLab does not know."""

import re
from pathlib import Path

import yaml

MACROS = yaml.safe_load(Path("_config.yml").read_text("utf8"))["sphinx"]["config"]["katex_macros"]
CODE = re.compile(r"(^```\{code-cell\}.*?^```$)", re.M | re.S)


def spelt_out(text: str) -> str:
    for macro, meaning in MACROS.items():
        text = re.sub(rf"{re.escape(macro)}(?![a-zA-Z])", meaning.replace("\\", r"\\"), text)
    return text


for page in Path("book").glob("*.md"):
    parts = CODE.split(page.read_text("utf8"))  # every second one is code
    parts[::2] = map(spelt_out, parts[::2])
    page.write_text("".join(parts), "utf8")
