// The search in the theme's own dialog (Ctrl+K or /), section by section. What it needs is loaded when
// the dialog is first opened, by a classic script, so that a site read from files has it too.

const LONGEST = 200; // characters of a query that are looked at and repeated
const PAUSE = 120; // milliseconds after a key before the index is asked
const FINDER = "search/finder.js";

const make = (name, properties = {}) => Object.assign(document.createElement(name), properties);

const script = (src) =>
  new Promise((onload, onerror) => {
    document.head.append(make("script", { src, onload, onerror }));
  });

// The function that answers queries; where loading failed, the next query tries again.
let loading;
function load(root) {
  loading ??= script(root + FINDER).then(
    () => globalThis.bnnFind,
    (error) => {
      loading = undefined;
      throw error;
    },
  );
  return loading;
}

function excerpt(words) {
  const line = make("span", { className: "bnn-search-excerpt" });
  for (const [word, asked] of words) line.append(asked ? make("mark", { textContent: word }) : word, " ");
  return line;
}

function row({ url, title, page, words }) {
  const link = make("a", { href: url });
  link.append(make("span", { className: "bnn-search-title", textContent: title }));
  if (page !== title) link.append(make("span", { className: "bnn-search-page", textContent: page }));
  link.append(excerpt(words));
  const item = make("li");
  item.append(link);
  return item;
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
  input.addEventListener("focus", () => load(root).catch(() => {}), { once: true });
  let latest = 0;
  // Shows what is found for the query that stands there now, unless a later one overtakes it, and
  // says whether it did.
  async function look(pause) {
    const query = input.value.trim().slice(0, LONGEST);
    const mine = ++latest;
    if (!query) {
      list.replaceChildren();
      status.textContent = "";
      return true;
    }
    await new Promise((done) => setTimeout(done, pause));
    if (mine !== latest) return false;
    if (!globalThis.bnnFind) status.textContent = "Loading the index…";
    const find = await load(root).catch(() => null);
    if (mine !== latest) return false;
    if (find) {
      fill(list, status, query, find(query).map((section) => ({ ...section, url: root + section.url })));
    } else {
      list.replaceChildren();
      status.textContent = "The search index did not load. Press Enter for the plain search page.";
    }
    return true;
  }
  // An Enter that still waits for its answer leads nowhere once the dialog is closed.
  dialog.addEventListener("close", () => latest++);
  input.addEventListener("input", () => look(PAUSE));
  input.form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!(await look(0))) return;
    const first = list.querySelector("a");
    if (first) first.click();
    else if (input.value.trim()) input.form.submit(); // the plain search page
  });
}
