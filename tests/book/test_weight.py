"""A page may load what is listed, and no more than its budget."""

import pytest

import weight

ROOT = "http://here/a/"


@pytest.mark.parametrize(
    "url",
    [
        "data:image/png;base64,xyz",
        ROOT,
        f"{ROOT}book/index.html",
        f"{ROOT}_static/styles/theme.css?digest=1",
        f"{ROOT}_static/katex/fonts/KaTeX_Main-Regular.woff2",
        f"{ROOT}_images/0a1b-dark.svg",
        f"{ROOT}search.html?q=a",
    ],
)
def test_what_is_listed_may_be_loaded(url):
    assert weight.foreign(url, ROOT) == []


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.example/x.js",
        "http://here/other.js",
        f"{ROOT}book/other.js",
        f"{ROOT}_static/font.ttf",
        f"{ROOT}_images/film.mp4",
        f"{ROOT}_static/../secret.css.exe",
    ],
)
def test_anything_else_is_named(url):
    assert weight.foreign(url, ROOT) == [f"asks for {url}"]


def test_figures_count_by_their_bytes_only():
    others = [(f"{ROOT}_static/{i}.css", 10) for i in range(weight.MOST_REQUESTS)]
    figures = [(f"{ROOT}_images/{i}.svg", 10) for i in range(50)]
    assert weight.too_much(others + figures, 100) == []
    (said,) = weight.too_much([*others, (f"{ROOT}book/index.html", 10)], 100)
    assert said.startswith(f"fetches {weight.MOST_REQUESTS + 1} files")


def test_the_bytes_of_all_count():
    loaded = [(f"{ROOT}_images/a.svg", 6 * 1024), (f"{ROOT}book/index.html", 5 * 1024)]
    assert weight.too_much(loaded, 11) == []
    assert weight.too_much(loaded, 10) == ["fetches 11 KiB, at most 10"]
