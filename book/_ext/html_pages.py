"""What is mended in every page that the theme has written.

Each function takes the parsed page and mends one thing; :func:`clean` runs them all. What they mend
is listed with its reasons in ``docs/decisions/0002-mathematics-and-site.md``.
"""

import copy
import re
from collections.abc import Callable

from bs4 import BeautifulSoup, Tag
from bs4.element import AttributeValueList

import searching
from bnnbook.plotting import interactive

#: Inline scripts that the theme and extensions write for features the book does not use.
UNUSED_INLINE = re.compile(
    r"let toggle(?:Hint|OpenOnPrint)|var togglebuttonSelector|const THEBE_JS_URL|kernelName ="
    r"|DOCUMENTATION_OPTIONS\."
)
#: Files that no page uses.
UNUSED_FILES = ("fontawesome.js", "sphinx-thebe", "togglebutton.")
#: The class of a page's link for reporting a mistake.
REPORT = "bnn-report"
#: Pages that Sphinx generates.
SPHINX_PAGES = ("search.html", "genindex.html")
#: Files of Sphinx's own search page that the theme puts on every page.
SEARCH_FILES = (
    "searchtools.js",
    "language_data.js",
    "searchindex.js",
    "doctools.js",
    "sphinx_highlight.js",
)
#: Files that only a page holding the selector needs.
NEEDED_BY = {
    "katex/katex.css": ".katex",
    **{f"figures/{kind}.js": f".bnn-figure[data-figure={kind}]" for kind in interactive.KINDS},
    "figures.css": ".bnn-figure",
    "copybutton.": "div.highlight pre",
    "clipboard.min.js": "div.highlight pre",
    "design-tabs.js": ".sd-tab-set",
    "sphinx-design.": "[class*='sd-']",
    "exercise.css": ".exercise, .solution",
    "proof.css": ".proof",
    "mystnb.": ".cell",
    "pygments.css": ".highlight",
}
#: The dialogs in which the theme shows its sidebars on a phone.
SIDEBARS = {
    "#pst-primary-sidebar-modal": "Contents of the book",
    "#pst-secondary-sidebar-modal": "Contents of this page",
}
#: The theme's inline handlers, and the name by which ``site/actions.js`` knows them.
ACTIONS = {"toggleFullScreen()": "fullscreen", "window.print()": "print"}


def asset(tag: Tag) -> str:
    """The address that a script or link loads, without its query."""
    return str(tag.get("src") or tag.get("href") or "").partition("?")[0]


def add_class(tag: Tag, *names: str) -> None:
    """Add classes to an element."""
    classes = tag.get_attribute_list("class") if "class" in tag.attrs else []
    tag["class"] = AttributeValueList([*classes, *names])


def drop_unused(soup: BeautifulSoup, name: str) -> None:
    """Remove scripts and styles that this page has no use for."""
    needless = [file for file, css in NEEDED_BY.items() if not soup.select_one(css)]
    for tag in soup.select("script, link[rel=stylesheet], link[rel=preload]"):
        address = asset(tag)
        unused = any(file in address for file in UNUSED_FILES)
        if name != "search.html":
            unused |= any(address.endswith(file) for file in SEARCH_FILES)
        unused |= any(file in address for file in needless)
        unused |= (
            tag.name == "script" and not address and bool(UNUSED_INLINE.match(tag.text.strip()))
        )
        unused |= tag.get("type") == "text/x-thebe-config"
        if unused:
            tag.decompose()
    for tag in soup.select("#jb-print-docs-body"):
        tag.decompose()  # a second title and the contents once more, for paper
    for tag in soup.select("#ethical-ad-placement"):
        (tag.find_parent(class_="sidebar-primary-items__end") or tag).decompose()


def drop_doubles(soup: BeautifulSoup) -> None:
    """Remove what Sphinx 7.4 and the theme write more than once."""
    for viewport in soup.select("meta[name=viewport]")[1:]:
        viewport.decompose()
    for version in soup.select("meta[name^=docsearch]"):
        version.decompose()
    seen = set()
    for script in soup.select("script[src]"):
        address = asset(script)
        if address in seen:
            script.decompose()
        seen.add(address)


def defer_scripts(soup: BeautifulSoup) -> None:
    """Let the page show before its scripts run; their order stays."""
    for script in soup.select("script[src]"):
        del script["async"]
        script["defer"] = ""


def set_language(soup: BeautifulSoup) -> None:
    """Say that the book is written in British English, and is light where no script says else."""
    assert soup.html is not None
    soup.html["lang"] = "en-GB"
    soup.html["data-theme"] = "light"


def early_script(soup: BeautifulSoup, code: str) -> None:
    """Replace the theme's first script by ours, which settles light or dark before it shows."""
    script = soup.select_one("script[data-cfasync]")
    if script is not None:
        del script["data-cfasync"]
        script.string = code


def name_actions(soup: BeautifulSoup) -> None:
    """Replace inline handlers, which the policy forbids, by names that one listener knows."""
    for tag in soup.select("[onclick]"):
        if action := ACTIONS.get(str(tag["onclick"]).strip()):
            del tag["onclick"]
            tag["data-bnn-action"] = action
            add_class(tag, "bnn-js-only")


def name_regions(soup: BeautifulSoup) -> None:
    """Give the theme's landmarks and icon buttons names that a screen reader can say."""
    for tag in soup.select(".sidebar-primary-items__start"):
        tag["role"], tag["aria-label"] = "complementary", "Book"
    for dialog in soup.select("#pst-search-dialog"):
        dialog["aria-label"] = "Search"
    for css, label in SIDEBARS.items():
        for tag in soup.select(css):
            tag["aria-label"] = label
    for button in soup.select("button"):
        if button.get_text(strip=True):
            del button["aria-label"]
        elif button.get("title") and not button.get("aria-label"):
            button["aria-label"] = button["title"]
    for icon in soup.select("i[class*='fa-'], span.fa-solid"):
        icon["aria-hidden"] = "true"


def mend_roles(soup: BeautifulSoup) -> None:
    """Mend what docutils and pandas write against the rules of accessible HTML."""
    for entry in soup.select("[role=doc-biblioentry]"):
        entry["role"] = "listitem"
    for header in soup.select("table th"):
        if not header.get_text(strip=True) and not header.find("img"):
            header.name = "td"
    for style in soup.select("style[scoped]"):
        style.decompose()
    for table in soup.select("table[border]"):
        del table["border"]
    for summary in soup.select("summary"):
        for paragraph in summary.find_all("p"):
            paragraph.name = "span"


def drop_repeated_ids(soup: BeautifulSoup) -> None:
    """Let each id name one element, the first that has it; exercises name their contents alike."""
    seen: set[str] = set()
    for tag in soup.select("[id]"):
        name = str(tag["id"])
        if name in seen:
            del tag["id"]
        seen.add(name)


def fold_admonitions(soup: BeautifulSoup) -> None:
    """Make every dropdown, solutions of exercises above all, a native disclosure."""
    for box in soup.select("div.admonition.dropdown, div.admonition.toggle"):
        title = box.find(class_="admonition-title", recursive=False)
        if not isinstance(title, Tag):
            continue
        for link in title.find_all("a"):
            link.unwrap()
        title.name = "summary"
        box.name = "details"
        if "toggle-shown" in box.get_attribute_list("class"):
            box["open"] = ""


def fold_code(soup: BeautifulSoup) -> None:
    """Make each cell's source, and what MyST-NB hides, a disclosure with one kind of summary.

    A source that the page shows is open until the reader folds it.
    """
    for source in soup.select("div.cell > div.cell_input"):
        details = soup.new_tag(
            "details", attrs={"class": "bnn-fold bnn-code bnn-plain", "open": ""}
        )
        source.wrap(details).insert(0, soup.new_tag("summary"))
    for details in soup.select("div.cell > details.hide"):
        is_output = "above-output" in details["class"] or "below-input" in details["class"]
        del details["class"]
        add_class(details, "bnn-fold", *([] if is_output else ["bnn-code"]))
    for summary in soup.select(".bnn-fold > summary"):
        box = summary.find_parent("details")
        what = "code" if box is not None and "bnn-code" in box["class"] else "output"
        summary.clear()
        summary.attrs = {}
        for state, verb in (("closed", "Show"), ("opened", "Hide")):
            span = soup.new_tag("span", attrs={"class": f"bnn-{state}"})
            span.string = f"{verb} {what}"
            summary.append(span)


def _as_script(entry: Tag) -> Tag:
    """The menu's entry for a page's script, made after that for its notebook."""
    twin = copy.copy(entry)
    link = twin.find("a")
    assert isinstance(link, Tag)
    link["href"] = str(link["href"]).removesuffix(".ipynb") + ".py"
    link["title"] = "Download Python script"
    for text in link.select(".btn__text-container"):
        text.string = ".py"
    return twin


def link_downloads(soup: BeautifulSoup) -> None:
    """Let links to files save them instead of opening a tab."""
    for entry in soup.select("li:has(> a[href*='_sources/'][href$='.ipynb'])"):
        entry.insert_after(_as_script(entry))
    for link in soup.select("a[href*='_sources/']"):
        link["download"] = ""
        link.attrs.pop("target", None)
    for link in soup.select("a[target=_blank]"):
        link["rel"] = "noopener"


def lead_to_report(soup: BeautifulSoup) -> None:
    """Let the theme's button for an issue fill in page and version as the page's own link does."""
    report = soup.select_one(f"a.{REPORT}")
    for button in soup.select("a.btn-source-issues-button"):
        if report is not None:
            button["href"], button["title"] = report["href"], "Report a mistake on this page"


def lasting_links(soup: BeautifulSoup) -> None:
    """Let a heading's own link name the section's label, which outlives a change of the heading."""
    for section in soup.select("section[id]"):
        heading = searching.heading_of(section)
        if heading is not None and (link := heading.select_one("a.headerlink")) is not None:
            link["href"] = f"#{searching.anchors(section)[0]}"


def mark_searchable(soup: BeautifulSoup, name: str) -> None:
    """Say what of the page the search indexes: the article, and no page that Sphinx generates."""
    article = soup.select_one("article.bd-article")
    if article is not None and name not in SPHINX_PAGES:
        article[searching.SEARCHABLE] = ""


def wrap_tables(soup: BeautifulSoup) -> None:
    """Let a wide table scroll by itself, so that a phone's page does not."""
    for table in soup.select("article table"):
        parent = table.parent
        wrapped = (
            parent is not None
            and "pst-scrollable-table-container" in parent.get_attribute_list("class")
        )
        if not wrapped:
            table.wrap(soup.new_tag("div", attrs={"class": "pst-scrollable-table-container"}))


def clean(soup: BeautifulSoup, name: str, early: str) -> None:
    """Mend a page.

    Args:
        soup: The page as the theme wrote it.
        name: Its file name.
        early: The code of the page's one inline script.
    """
    drop_unused(soup, name)
    drop_doubles(soup)
    early_script(soup, early)
    mark_searchable(soup, name)
    steps: tuple[Callable[[BeautifulSoup], None], ...] = (
        defer_scripts,
        set_language,
        name_actions,
        name_regions,
        mend_roles,
        drop_repeated_ids,
        fold_admonitions,
        fold_code,
        link_downloads,
        lead_to_report,
        lasting_links,
        wrap_tables,
    )
    for step in steps:
        step(soup)
