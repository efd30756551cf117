"""The content security policy of each finished page.

A page may load only what lies beside it. Its own inline scripts and styles are allowed by their
hashes, so the policy is written last, when nothing changes the page any more.
"""

import base64
import hashlib
import re

SCRIPT = re.compile(r"<script(?P<attributes>[^>]*)>(?P<body>.*?)</script>", re.S | re.I)
STYLE = re.compile(r"<style\b[^>]*>(.*?)</style>", re.S | re.I)
HANDLER = re.compile(r"<[a-z][^>]*\s(on[a-z]+)\s*=", re.I)
MARK = '<meta http-equiv="Content-Security-Policy"'
REFERRER = '<meta name="referrer" content="strict-origin-when-cross-origin"/>'
HEAD = re.compile(r'<meta charset="utf-8"\s*/?>', re.I)
CODE_TYPES = {"", "module", "text/javascript", "application/javascript", "importmap"}


class PolicyError(ValueError):
    """A page holds something that no policy of ours can allow."""


def inline_scripts(page: str) -> list[str]:
    """The bodies of a page's inline scripts; blocks of data (JSON and the like) are none."""
    bodies = []
    for script in SCRIPT.finditer(page):
        kind = re.search(r'\btype="([^"]*)"', script["attributes"])
        is_code = (kind[1] if kind else "") in CODE_TYPES
        if is_code and not re.search(r"\bsrc=", script["attributes"]):
            bodies.append(script["body"])
    return bodies


def source_of(body: str) -> str:
    """The policy's source expression for an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'"


def policy(page: str) -> str:
    """The policy for a page as it stands."""
    scripts, styles = (
        " ".join(dict.fromkeys(source_of(body) for body in bodies))
        for bodies in (inline_scripts(page), STYLE.findall(page))
    )
    rules = {
        "default-src": "'none'",
        "script-src": f"'self' {scripts}".strip(),
        # KaTeX sets style attributes; old browsers know no difference between these and elements.
        "style-src": "'self' 'unsafe-inline'",
        "style-src-elem": f"'self' {styles}".strip(),
        "style-src-attr": "'unsafe-inline'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        # Nothing of ours connects; judges of a site ask for its robots.txt from inside the page.
        "connect-src": "'self'",
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "object-src": "'none'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())


def is_protected(page: str) -> bool:
    """Whether a page has its policy already, that is: whether it is finished."""
    return MARK in page


def protect(page: str) -> str:
    """The page with its policy and its referrer policy, first in the head.

    Raises:
        PolicyError: If an inline event handler is left, or the page says no charset.
    """
    # The contents of scripts are text, not tags.
    if handler := HANDLER.search(SCRIPT.sub("", page)):
        raise PolicyError(f"inline event handler {handler[1]!r} in {handler[0][:80]!r}")
    if not HEAD.search(page):
        raise PolicyError('no <meta charset="utf-8"> to put the policy after')
    tags = f'{MARK} content="{policy(page)}"/>\n{REFERRER}'
    return HEAD.sub(lambda charset: f"{charset[0]}\n{tags}", page, count=1)
