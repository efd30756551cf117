"""Ways into the site that are no pages of the book: its front door, the page for an address that
is not there, and the map for search engines.
"""

import html
from collections.abc import Iterable

import policy

_HEAD = """<!DOCTYPE html>
<html lang="en-GB">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
"""
_STYLE = """<style>
:root { color-scheme: light dark; background: #fff; color: #1f2328; }
a { color: #0b62c4; }
@media (prefers-color-scheme: dark) {
:root { background: #121212; color: #e6e9ed; }
a { color: #6cb0ff; }
}
body { font: 1.1rem/1.6 system-ui, sans-serif; max-width: 36rem; }
body { margin: 12vh auto; padding: 0 1rem; }
:is(input, button) { font: inherit; padding: .3rem .6rem; }
</style>"""


def front_door(title: str, first: str, address: str) -> str:
    """The page at the root, which leads to the first page of the book.

    Args:
        title: The book's.
        first: The first page, from the root.
        address: Where the site is published, with a slash at its end.
    """
    name = html.escape(title)
    return policy.protect(f"""{_HEAD}<meta http-equiv="refresh" content="0; url={first}"/>
<title>{name}</title>
<link rel="canonical" href="{html.escape(address + first)}"/>
</head>
<body><main><h1>{name}</h1><p><a href="{first}">Open the book</a></p></main></body>
</html>
""")


def not_found(title: str, first: str, address: str, icon: str = "") -> str:
    """The page that a host shows for an address that is not there, at whatever depth: its links are
    whole.

    Args:
        title: The book's.
        first: The first page, from the root.
        address: Where the site is published, with a slash at its end.
        icon: The site's icon, from the root; below it a browser shows none.
    """
    root = html.escape(address)
    link = f'<link rel="icon" href="{icon}"/>\n' if icon else ""
    return policy.protect(f"""{_HEAD}<title>No such page · {html.escape(title)}</title>
<meta name="robots" content="noindex"/>
{link}{_STYLE}
</head>
<body><main><h1>There is no such page</h1>
<p>The address that you followed leads nowhere in <em>{html.escape(title)}</em>. The book promises
that pages and labels stay where they are, so this may be a slip of ours:
<a href="{root}book/errata.html">tell us</a>, please.</p>
<form action="{root}search.html" role="search"><label>Search the book
<input type="search" name="q"/></label> <button>Search</button></form>
<p><a href="{root}{first}">To the first page</a></p></main></body>
</html>
""")


def sitemap(pages: Iterable[str], address: str) -> str:
    """The list of pages for search engines.

    Args:
        pages: Their paths from the site's root.
        address: Where the site is published.
    """
    places = "".join(f"<url><loc>{html.escape(address + page)}</loc></url>\n" for page in pages)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{places}</urlset>\n'
    )
