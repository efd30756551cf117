// Pagefind's answers in the theme's own search dialog (Ctrl+K or /), section by section.

const LONGEST = 200; // characters of a query that are looked at
const SHOWN = 12;

const make = (name, properties = {}) => Object.assign(document.createElement(name), properties);

let library;
function load(root) {
  library ??= import(new URL(`${root}pagefind/pagefind.js`, location.href).href).then(async (pagefind) => {
    await pagefind.options({
      baseUrl: new URL(root, location.href).pathname,
      excerptLength: 22,
      ranking: { termSimilarity: 2 },
    });
    await pagefind.init();
    return pagefind;
  });
  return library;
}

// Sections of one page, each with its share of the page's score.
export function sections(score, page) {
  const weigh = (section) => (section.weighted_locations ?? []).reduce((sum, place) => sum + place.balanced_score, 0);
  const found = page.sub_results?.length ? page.sub_results : [{ ...page, title: page.meta.title }];
  const best = Math.max(...found.map(weigh)) || 1;
  return found.map((section) => ({
    score: score * (weigh(section) / best || 1),
    url: section.url,
    title: section.title || page.meta.title,
    page: page.meta.title,
    excerpt: section.excerpt,
  }));
}

// An excerpt is text with <mark>; whatever else it holds is shown as text.
function excerpt(html) {
  const line = make("span", { className: "bnn-search-excerpt" });
  for (const node of new DOMParser().parseFromString(html, "text/html").body.childNodes) {
    line.append(node.nodeName === "MARK" ? make("mark", { textContent: node.textContent }) : node.textContent);
  }
  return line;
}

// Pagefind shortens a word until something matches. Only what still resembles a word of the query
// is an answer to it.
export function resembles(query, html) {
  const words = query.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  const marked = [...html.matchAll(/<mark>(.*?)<\/mark>/gs)].map((match) => match[1].toLowerCase());
  const shared = (a, b) => [...a].findIndex((letter, i) => letter !== b[i]);
  return words.some((word) =>
    marked.some((mark) => {
      const same = shared(word, mark);
      return same < 0 || same >= Math.max(3, 0.6 * word.length);
    }),
  );
}

// Headings carry the theme's "#" link and a number of their own.
const tidy = (title) => title.replace(/#$/, "").trim();

function row(section) {
  const link = make("a", { href: section.url });
  link.append(make("span", { className: "bnn-search-title", textContent: tidy(section.title) }));
  if (section.page !== section.title) {
    link.append(make("span", { className: "bnn-search-page", textContent: tidy(section.page) }));
  }
  link.append(excerpt(section.excerpt));
  const item = make("li");
  item.append(link);
  return item;
}

async function answer(root, query) {
  const pagefind = await load(root);
  const found = await pagefind.debouncedSearch(query, {}, 120);
  if (!found) return null; // a later key has overtaken this one
  const pages = await Promise.all(
    found.results.slice(0, SHOWN).map(async (result) => sections(result.score, await result.data())),
  );
  return pages.flat().filter((section) => resembles(query, section.excerpt)).sort((a, b) => b.score - a.score).slice(0, SHOWN);
}

function fill(list, status, query, found) {
  list.replaceChildren(...found.map(row));
  const count = found.length === 1 ? "1 section" : `${found.length} sections`;
  status.textContent = found.length ? `${count} for “${query}”` : `Nothing found for “${query}”.`;
}

function moveFocus(event, input, list) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const stops = [input, ...list.querySelectorAll("a")];
  const next = stops.indexOf(document.activeElement) + step;
  stops[Math.min(Math.max(next, 0), stops.length - 1)].focus();
  event.preventDefault();
}

function openBySlash(event) {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  event.preventDefault();
  document.querySelector(".search-button__button")?.click();
}

export function start() {
  const dialog = document.getElementById("pst-search-dialog");
  const input = dialog?.querySelector("input[name=q]");
  if (!input) return;
  document.addEventListener("keydown", openBySlash);
  const root = document.documentElement.dataset.content_root || "./";
  const status = make("p", { className: "bnn-search-status" });
  status.setAttribute("role", "status");
  const list = make("ol", { className: "bnn-search-results" });
  list.setAttribute("aria-label", "Search results");
  dialog.append(status, list);
  dialog.addEventListener("keydown", (event) => moveFocus(event, input, list));
  // Chromium and others load no module from a file, so the index cannot be asked there.
  const offline = location.protocol === "file:";
  if (!offline) input.addEventListener("focus", () => load(root).catch(() => {}), { once: true });
  input.form.addEventListener("submit", (event) => {
    const first = list.querySelector("a");
    if (!first) return;
    event.preventDefault();
    first.click();
    dialog.close();
  });
  let latest = 0;
  input.addEventListener("input", async () => {
    const query = input.value.trim().slice(0, LONGEST);
    const mine = ++latest;
    if (offline) {
      status.textContent = query ? "Press Enter to search the titles and words of all pages." : "";
    } else if (query.length < 2) {
      list.replaceChildren();
      status.textContent = "";
    } else {
      try {
        const found = await answer(root, query);
        if (found && mine === latest) fill(list, status, query, found);
      } catch {
        status.textContent = "The search index did not load. Press Enter for the plain search page.";
      }
    }
  });
}
