"""The small site as its readers meet it: by keyboard, without motion, without scripts, on paper."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

import browser
from contrast import contrast
from small_site import CHAPTERS, DOCS, EXECUTED

pytestmark = [pytest.mark.site, pytest.mark.slow]

PHONE, DESKTOP = 390, 1280
#: Marks what the Tab key must reach; of radio buttons with one name only the chosen one.
STOPS = """() => {
  const able = "a[href], button, input, select, textarea, summary, [tabindex]";
  const reached = (e) => e.tabIndex >= 0 && !e.disabled && !(e.type === "radio" && !e.checked)
    && e.checkVisibility({ visibilityProperty: true });
  window.missing = new Set([...document.querySelectorAll(able)].filter(reached));
  return window.missing.size;
}"""
#: Where the Tab key is, and what is wrong with it; nothing where it has left the page.
AT = """() => {
  const e = document.activeElement;
  if (e === document.body) return null;
  window.missing.delete(e);
  const style = getComputedStyle(e), [box] = e.getClientRects();
  const name = e.outerHTML.slice(0, 120);
  if (!box) return ["is nowhere", name];
  const x = box.left + box.width / 2, y = box.top + Math.min(box.height, innerHeight) / 2;
  const top = document.elementFromPoint(x, y);
  if (!top || !e.contains(top)) return ["is out of sight or covered", name];
  const drawn = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  if (!drawn && style.boxShadow === "none") return ["has no mark of focus", name];
  if (style.opacity < 1) return ["is transparent", name];
  return ["", name];
}"""
#: What a printed page would cut off.
CUT = """() => [...document.querySelectorAll("article :is(pre, table, figure, img, div.math, p)")]
  .filter((e) => e.checkVisibility() && !e.closest(".bnn-visually-hidden"))
  .filter((e) => (e.clientWidth && e.scrollWidth > e.clientWidth + 1)
    || e.getBoundingClientRect().right > innerWidth + 1)
  .map((e) => e.outerHTML.slice(0, 120))"""


@pytest.fixture
def opened(served):
    """A function that opens a page of the book for one kind of reader."""
    chromium, address = served
    contexts = []

    def open_page(doc, width=DESKTOP, **reader):
        viewport = {"width": width, "height": 900}
        contexts.append(chromium.new_context(viewport=viewport, **reader))
        page = contexts[-1].new_page()
        page.goto(f"{address}{doc}.html", wait_until="load")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def listener(served):
    """A function that opens a page as a screen reader does and says what it is told of."""
    chromium, address = served
    arguments = [*browser.ARGUMENTS, "--force-renderer-accessibility"]
    heard_by = chromium.browser_type.launch(executable_path=browser.find(), args=arguments)

    def listen(doc, planted=""):
        page = heard_by.new_page()
        page.goto(f"{address}{doc}.html", wait_until="load")
        page.evaluate(browser.ADD_RULES, planted)
        page.wait_for_timeout(500)
        tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
        heard = [node["role"]["value"] for node in tree if not node["ignored"]]
        there = "css => document.querySelectorAll(css).length"
        return SimpleNamespace(roles=Counter(heard), count=lambda css: page.evaluate(there, css))

    yield listen
    heard_by.close()


def walk(page):
    """What is wrong with the way of the Tab key through a page, all its figures started."""
    wrong = []
    for figure in page.locator(".bnn-figure").all():
        figure.scroll_into_view_if_needed()
        page.wait_for_function("e => e.dataset.state", arg=figure.element_handle())
    page.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
    page.wait_for_timeout(500)  # the contents beside the page follow where it is
    for _ in range(page.evaluate(STOPS) + 50):
        page.keyboard.press("Tab")
        at = page.evaluate(AT)
        if at is None:
            break
        if at[0]:
            wrong.append(at)
    left = page.evaluate("[...window.missing].map((e) => e.outerHTML.slice(0, 120))")
    return wrong + [["is not reached", name] for name in left]


@pytest.mark.parametrize("doc", DOCS)
def test_the_keyboard_reaches_everything_and_is_seen(opened, doc):
    assert walk(opened(doc, reduced_motion="reduce")) == []


@pytest.mark.parametrize("doc", ["book/index", "book/bayes-theorem"])
def test_the_keyboard_reaches_everything_on_a_page_enlarged_threefold(opened, doc):
    assert walk(opened(doc, PHONE, reduced_motion="reduce")) == []


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ("a:focus-visible { outline: none !important; box-shadow: none !important; }", "no mark"),
        ("article a:focus { opacity: .2; }", "transparent"),
        ("body::after { content: ''; position: fixed; inset: 50% 0 0; z-index: 9999; }", "covered"),
    ],
)
def test_a_focus_that_is_not_seen_is_found(opened, planted, said):
    page = opened("book/how-to-cite", reduced_motion="reduce")
    page.evaluate(browser.ADD_RULES, planted)
    assert any(said in what for what, _ in walk(page))


def test_the_first_stop_skips_to_the_text(opened):
    page = opened("book/bayes-theorem", reduced_motion="reduce")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_the_search_is_left_by_escape_where_it_was_entered(opened):
    page = opened("book/index")
    button = page.locator(".search-button__button:visible").first
    button.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.name") == "q"
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert button.evaluate("button => button === document.activeElement")


MOVING = """async () => {
  document.querySelector(".search-button__button").click();
  document.querySelector("#pst-search-dialog").close();
  document.querySelector(".theme-switch-button").click();
  document.querySelector("a.headerlink").click();
  const wait = () => new Promise(requestAnimationFrame);
  await wait(); await wait();
  const moved = document.getAnimations().length;
  return moved + (getComputedStyle(document.documentElement).scrollBehavior === "smooth" ? 1 : 0);
}"""


@pytest.mark.parametrize("doc", DOCS)
def test_nothing_moves_where_motion_is_unwelcome(opened, doc):
    assert opened(doc, reduced_motion="reduce").evaluate(MOVING) == 0


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("doc", ["book/variational-inference", "book/linear-regression"])
def test_a_link_within_a_page_leads_to_its_place(opened, doc, width):
    """Also over sections that the browser has not laid out, in either direction."""
    page = opened(doc, width)
    links = "#pst-page-toc-nav a"
    addresses = page.locator(links).evaluate_all("all => all.map((a) => a.hash)")
    assert len(addresses) > 8
    for address in addresses[::2] + addresses[1::2][::-1]:
        page.evaluate("e => e.click()", page.locator(f"{links}[href='{address}']").element_handle())
        page.wait_for_timeout(700)
        # The last sections of a page cannot be scrolled to its top.
        top, below = page.evaluate(
            """id => {
              const rest = document.documentElement.scrollHeight - innerHeight - scrollY;
              return [document.querySelector(id).getBoundingClientRect().top, rest];
            }""",
            address,
        )
        assert 0 <= top <= 150 or below < 2, address


@pytest.mark.parametrize("doc", DOCS)
def test_a_screen_reader_is_told_of_all_headings_and_formulas(doc, listener):
    """Also of sections that are not laid out yet."""
    tree = listener(doc)
    text = "main :is(h1, h2, h3, h4), .bnn-run h2, .bnn-cite h2"
    assert tree.roles["heading"] >= tree.count(text)
    assert tree.roles["MathMLMath"] == tree.count("math:not(details:not([open]) *)")
    # Of a figure's two forms it hears one.
    assert tree.roles["image"] <= tree.count("img:not(.bnn-dark), svg")


def test_a_heading_that_is_hidden_would_be_missed(listener):
    tree = listener("book/bayes-theorem", "section section { display: none; }")
    assert tree.roles["heading"] < tree.count("main :is(h1, h2, h3, h4)")


def test_motion_would_be_seen(opened):
    assert opened("book/index", reduced_motion="no-preference").evaluate(MOVING) > 0


@pytest.mark.parametrize("doc", DOCS)
def test_without_scripts_nothing_is_missing_and_nothing_is_dead(opened, doc):
    """The same words and pictures, interactive figures by their fallback, and no idle button."""
    plain = opened(doc, java_script_enabled=False)
    assert plain.locator("article h1:visible").count() == 1
    assert doc not in CHAPTERS or plain.locator(".cell_input pre:visible").count() > 5
    for button in plain.locator("button:visible").all():
        button.focus()
        menu = plain.locator(".dropdown-menu:visible")
        assert menu.locator("a:visible").count() > 0, button.get_attribute("aria-label")
        assert menu.locator("button:visible").count() == 0
    assert plain.locator("input:visible, select:visible").count() == 0
    images = plain.locator("article img:visible")
    assert plain.locator("article figure img:visible").count() > 0 or doc not in EXECUTED
    for y in range(0, plain.evaluate("document.body.scrollHeight"), 900):
        plain.evaluate("y => scrollTo(0, y)", y)
    plain.wait_for_load_state("networkidle")
    assert all(images.evaluate_all("all => all.map(image => image.naturalWidth)"))
    assert words(opened(doc)) <= words(plain)


def words(page):
    """The words of an article, without those of interactive figures and of buttons."""
    return set(
        page.locator("article").evaluate(
            """article => {
              for (const e of article.querySelectorAll(".bnn-figure, button, summary")) e.remove();
              return article.innerText.match(/[a-z]{4,}/gi) ?? [];
            }"""
        )
    )


def test_a_phone_without_scripts_has_the_contents_of_the_book(opened):
    plain = opened("book/bayes-theorem", PHONE, java_script_enabled=False)
    contents = plain.locator(".bd-sidebar-primary nav a:visible")
    assert contents.count() >= len(DOCS) - 1
    assert plain.evaluate("document.documentElement.scrollWidth") <= PHONE


@pytest.mark.parametrize("doc", DOCS)
def test_paper_has_all_of_the_article_and_nothing_else(opened, doc):
    page = opened(doc, 720)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.evaluate(CUT) == []
    closed = "article details:not([open])"
    assert page.locator(closed).count() == 0
    around = "nav, .bd-sidebar-primary, .bd-sidebar-secondary, button, .bd-header, .headerlink"
    assert page.locator(f":is({around}):visible").count() == 0


@pytest.mark.parametrize("doc", CHAPTERS)
def test_a_chapters_entry_is_copied_by_one_click(opened, doc):
    page = opened(doc, permissions=["clipboard-read", "clipboard-write"])
    button = page.locator("[data-bnn-copy]").first
    button.click()
    page.wait_for_function("e => e.textContent === 'Copied'", arg=button.element_handle())
    text = page.locator(f"#{button.get_attribute('data-bnn-copy')}").text_content()
    assert page.evaluate("navigator.clipboard.readText()") == text
    assert f"{Path(doc).name}.html" in text


def test_what_is_copied_twice_still_says_what_its_button_does(opened):
    page = opened("book/bayes-theorem", permissions=["clipboard-read", "clipboard-write"])
    button = page.locator("[data-bnn-copy]").first
    label = button.text_content()
    for _ in range(2):
        button.click()
        page.wait_for_function("e => e.textContent === 'Copied'", arg=button.element_handle())
        page.wait_for_timeout(300)
    page.wait_for_timeout(2200)
    assert button.text_content() == label


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("doc", ["book/variational-inference", "book/markov-chain-monte-carlo"])
@pytest.mark.parametrize("way", ["reload", "back"])
def test_the_place_that_was_read_is_kept(opened, doc, width, way):
    """Though sections above it are laid out anew only when they come near."""
    page = opened(doc, width)
    for _ in range(12):
        page.mouse.wheel(0, 900)
        page.wait_for_timeout(60)
    page.wait_for_timeout(700)
    where = """() => {
      const there = [...document.querySelectorAll("article p")];
      const read = there.find((p) => p.getBoundingClientRect().top > 150 && p.checkVisibility());
      return [read.textContent.slice(0, 80), read.getBoundingClientRect().top];
    }"""
    text, before = page.evaluate(where)
    if way == "reload":
        page.reload(wait_until="load")
    else:
        page.goto(page.url.replace(doc, "book/glossary"), wait_until="load")
        page.go_back(wait_until="load")
    page.wait_for_timeout(1200)
    after = page.evaluate(
        """text => [...document.querySelectorAll("article p")]
          .find((p) => p.textContent.startsWith(text)).getBoundingClientRect().top""",
        text,
    )
    assert abs(after - before) < 20, text


@pytest.mark.parametrize(
    ("opener", "link"),
    [
        ("button.secondary-toggle", "#pst-page-toc-nav a"),
        ("button.secondary-toggle", ".bnn-close"),
        ("button.primary-toggle", ".bnn-close"),
        ("button.search-button__button", ".bnn-close"),
    ],
)
def test_a_dialog_on_a_phone_is_left_by_a_tap(opened, opener, link):
    page = opened("book/linear-regression", PHONE, has_touch=True)
    assert not page.locator(".bnn-close").locator("visible=true").count()
    page.locator(opener).locator("visible=true").first.tap()
    page.wait_for_selector("dialog[open]")
    page.locator("dialog[open]").locator(link).locator("visible=true").last.tap()
    page.wait_for_function("() => !document.querySelector('dialog[open]')")
    assert not page.locator(".bnn-close").locator("visible=true").count()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_paper_has_all_figures(opened, scheme):
    page = opened("book/linear-regression", color_scheme=scheme)
    page.evaluate("window.print = () => (window.printed = true)")
    page.evaluate("document.querySelector('[data-bnn-action=print]').click()")
    page.wait_for_function("() => window.printed")
    figures = page.locator("article img.bnn-light").evaluate_all(
        "all => all.map((image) => image.naturalWidth)"
    )
    assert len(figures) > 4
    assert min(figures) > 0


@pytest.mark.parametrize("css", ["article p a", "#bnn-code-button", ".bnn-fold > summary"])
def test_what_is_under_the_pointer_can_be_read(opened, css):
    page = opened("book/linear-regression")
    there = page.locator(css).locator("visible=true").first
    there.hover()
    page.wait_for_timeout(400)
    colour = there.evaluate("e => getComputedStyle(e).color")
    assert contrast(colour, "#ffffff") >= 4.5
