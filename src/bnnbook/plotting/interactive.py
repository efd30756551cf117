"""Interactive figures: what a cell shows so that the reader's browser can bring it to life.

A page calls ``figure(kind, data, ...)``. The result shows as a plain HTML block: a text
alternative, the data as JSON, and a sentence that points to the static figure of the same thing.
That is all there is without JavaScript. With it, the module ``book/_js/figures/<kind>.js`` takes
the data and draws. No number is computed there that the package does not also compute: tests run
the module's arithmetic in Node on the package's inputs. Caption and number of the figure come from
the cell's metadata, as for every other figure. See docs/decisions/0003-interactive-figures.md.
"""

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bnnbook import checks

KINDS = ("beta-updating", "kl-drag", "network-prior", "regression-lines", "sampler-steps")
"""The kinds of figure that there are: one module each in ``book/_js/figures/``."""


@dataclass(frozen=True)
class InteractiveFigure:
    """A block of HTML, shown as such by a notebook."""

    markup: str
    """The block, complete and readable without JavaScript."""

    def _repr_html_(self) -> str:
        return self.markup


def figure(
    kind: str, data: Mapping[str, Any], *, label: str, alt: str, static: str, static_text: str
) -> InteractiveFigure:
    """An interactive figure.

    Args:
        kind: which figure, one of ``KINDS``.
        data: settings and data for it, anything that JSON can hold; numbers must be finite.
        label: its name in a few words, for screen readers.
        alt: what the figure lets one see, in a sentence or two: its text alternative.
        static: label of the static figure that shows the same thing, on the same page.
        static_text: what that figure is called, as the words of the link to it.

    Raises:
        ValueError: where the kind is unknown, a text is empty, or the data are not JSON.
    """
    checks.one_of("kind", kind, KINDS)
    texts = {"label": label, "alt": alt, "static": static, "static_text": static_text}
    for name, value in texts.items():
        if not value.strip():
            raise checks.fail(name, "a text that is not empty", value)
    safe = {name: html.escape(value.strip(), quote=True) for name, value in texts.items()}
    return InteractiveFigure(
        f'<div class="bnn-figure" data-figure="{kind}" role="group" aria-label="{safe["label"]}">'
        f'<p class="bnn-visually-hidden bnn-alt">{safe["alt"]}</p>'
        f'<script type="application/json">{_json(data)}</script>'
        '<div class="bnn-stage"><p class="bnn-fallback">This figure needs JavaScript. '
        f'<a class="reference internal" href="#{safe["static"]}">{safe["static_text"]}</a> '
        "shows the same without it.</p></div></div>"
    )


def _json(data: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(dict(data), allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"data must be JSON with finite numbers, got {error}") from None
    # Nothing inside may end the script element early.
    return text.replace("<", "\\u003c")
