// Pagefind's answers in the theme's own search dialog (Ctrl+K or /), section by section. Where the
// site is read from files, which Pagefind cannot be, the sections' texts are ranked here.

const LONGEST = 200; // characters of a query that are looked at
const MOST_WORDS = 12;
const RARITY = 0.3; // how much a word counts more where few sections have it
const MISSING = 0.8; // what a section loses that has none of the words but one
const NAMED = 1.5; // how much a section's heading and readers' words count beside Pagefind's score
const CALLED = 10; // what a section gains that is called exactly what is asked, more than all else
const REPEATED = 4; // how slowly a word that stands there several times has its full effect
const LENGTH = 0.3; // how much the many words of a section count against it
const PROSE = 0.3; // how much the text of a section counts beside those, without Pagefind
const SHOWN = 12;
const EXCERPT = 24; // words
const END = "¶"; // stands between a section's own words and its readers', which are not shown
const PAUSE = 120; // milliseconds after a key before the index is asked

// Words that are on every page and say nothing of what is asked.
const EMPTY = new Set(
  ("a about am an and any are as at be been being between by can could did difference do does doing for from get give had has have how i if in " +
    "into is it its just let make many me much must my no not of on one or our s shall should so some t than that the their " +
    "them then there these they this those to too up us use used using versus very vs was we were what when where which who why will " +
    "with would you your").split(" "),
);

const WORDS = /[\p{L}\p{N}]+(?:[-.'_][\p{L}\p{N}]+)*/gu;

const make = (name, properties = {}) => Object.assign(document.createElement(name), properties);

// What is loaded once; where that failed, the next query tries again.
function once(load) {
  let loaded;
  return (root) =>
    (loaded ??= load(root).catch((error) => {
      loaded = undefined;
      throw error;
    }));
}

const load = once(async (root) => {
  const address = (file) => new URL(`${root}pagefind/${file}`, location.href);
  const pagefind = await import(address("pagefind.js").href);
  await pagefind.options({
    baseUrl: new URL(root, location.href).pathname,
    ranking: { termSimilarity: 2, pageLength: 0.1, termSaturation: 2 },
  });
  await pagefind.init();
  const { known, asked, names } = await fetch(address("words.json")).then((file) => file.json());
  return { pagefind, known, names: counted(asked), called: calledBy(Object.entries(names)) };
});

// The sections' texts come by a classic script, the only thing that a page read from a file may load.
const loadTexts = once(async (root) => {
  await new Promise((resolve, reject) => {
    document.head.append(make("script", { src: `${root}pagefind/texts.js`, onload: resolve, onerror: reject }));
  });
  const { known, sections } = globalThis.bnnTexts;
  const texts = (part) => counted(Object.fromEntries(sections.map((section, i) => [i, section[part]])));
  const called = calledBy(sections.map(({ names }, i) => [String(i), names]));
  return { known, sections, names: texts("asked"), prose: texts("text"), called };
});

// The words of a query that tell what is asked; all of them where none does.
export function telling(query) {
  const words = query.slice(0, LONGEST).toLowerCase().replaceAll("’", "'").match(WORDS) ?? [];
  const told = words.filter((word) => !EMPTY.has(word));
  return [...new Set(told.length ? told : words)].slice(0, MOST_WORDS);
}

// How many letters must be added, dropped, changed or swapped to make one word of another.
export function distance(a, b) {
  let [before, last] = [[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] !== b[j - 1]));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) row[j] = Math.min(row[j], before[j - 2] + 1);
    }
    [before, last] = [last, row];
  }
  return last[b.length];
}

// A misspelt word, set right by the words of headings, glossary and questions, where one is near.
export function mended(word, known) {
  if (word.length < 5 || !/^\p{L}+$/u.test(word)) return word;
  const most = word.length < 8 ? 1 : 2;
  let best = { word, far: most + 1 };
  for (const other of known) {
    if (Math.abs(other.length - word.length) >= best.far) continue;
    const far = distance(word, other);
    if (far < best.far) best = { word: other, far };
  }
  return best.word;
}

// What British and American spelling, singular and plural, and most forms of a verb share.
export function stem(word) {
  return word
    .replace(/'s?$/, "")
    .replaceAll("our", "or")
    .replace("centre", "center")
    .replace("lys", "lyz")
    .replace(/is(e[ds]?|er|ing|ation)$/, "iz$1")
    .replace(/(?<=.{3})(ations?|ing|ed|es|s|e)$/, "");
}

// The stems of a text; a word with a hyphen is also its parts, and written without it.
function stems(text) {
  const words = text.toLowerCase().replaceAll("’", "'").match(WORDS) ?? [];
  const forms = words.flatMap((word) => (/[-._]/.test(word) ? [word, word.replace(/[-._]/g, ""), ...word.split(/[-._]/)] : [word]));
  return forms.filter((word) => !EMPTY.has(word)).map(stem);
}

// For each section its stems with their counts, from its heading and its readers' words.
export function counted(texts) {
  const sections = new Map();
  const spread = new Map();
  for (const [id, text] of Object.entries(texts)) {
    const counts = new Map();
    const all = stems(text);
    for (const word of all) counts.set(word, (counts.get(word) ?? 0) + 1);
    for (const word of counts.keys()) spread.set(word, (spread.get(word) ?? 0) + 1);
    sections.set(id, { counts, length: all.length });
  }
  const mean = [...sections.values()].reduce((sum, { length }) => sum + length, 0) / sections.size;
  return { sections, spread, mean };
}

// What a text is about, however it is put.
export const key = (text) => [...new Set(stems(text))].sort().join(" ");

// The sections that have a name, by what the name is about.
export function calledBy(names) {
  const called = new Map();
  for (const [id, texts] of names) for (const text of texts) called.set(key(text), (called.get(key(text)) ?? new Set()).add(id));
  return called;
}

// How well headings and readers' words answer a query, by BM25, as a share of what all its words
// weigh.
export function named(words, { sections, spread, mean }) {
  const rarity = (word) => Math.log(1 + (sections.size - (spread.get(word) ?? 0) + 0.5) / ((spread.get(word) ?? 0) + 0.5));
  const asked = [...new Set(stems(words.join(" ")))].map((word) => [word, rarity(word)]);
  const whole = asked.reduce((sum, [, weight]) => sum + weight, 0) || 1;
  const scores = new Map();
  for (const [id, { counts, length }] of sections) {
    const saturation = REPEATED * (1 - LENGTH + (LENGTH * length) / mean);
    const part = ([word, weight]) => (weight * (counts.get(word) ?? 0) * (REPEATED + 1)) / ((counts.get(word) ?? 0) + saturation);
    scores.set(id, asked.reduce((sum, pair) => sum + part(pair), 0) / whole);
  }
  return scores;
}

// Pagefind wants all words of a query on a page; a question has words that its answer has not. So
// each word is asked by itself, and a section has the sum of their scores: from none to one a word,
// more where few sections have it, and less in all where words of the query are missing. To that, as
// a share of the best, comes what its heading and its readers' words say. A section that has the very
// name comes first.
export function ranked(answers, names = new Map(), called = new Set()) {
  const sections = new Map();
  for (const results of answers) {
    const best = Math.max(...results.map((result) => result.score));
    const weight = (1 / (1 + results.length)) ** RARITY;
    for (const result of results) {
      const section = sections.get(result.id) ?? { score: 0, results: [] };
      section.score += weight * (result.score / best);
      section.results.push(result);
      sections.set(result.id, section);
    }
  }
  const share = (section) => section.score * (1 - MISSING + (MISSING * section.results.length) / answers.length);
  const most = Math.max(...[...sections.values()].map(share));
  const total = ([id, section]) => share(section) / most + NAMED * (names.get(id) ?? 0) + (called.has(id) ? CALLED : 0);
  const pairs = [...sections].map((pair) => [total(pair), pair[1]]);
  return pairs.sort((a, b) => b[0] - a[0]).map(([, section]) => section);
}

// The stretch of a text in which the words weigh most, as pairs of a word and whether it was asked.
export function stretch(words, places, length = EXCERPT) {
  const weights = words.map(() => 0);
  for (const { location, balanced_score: weight } of places) if (location in weights) weights[location] += weight;
  let sum = weights.slice(0, length).reduce((a, b) => a + b, 0);
  let best = { sum, start: 0 };
  for (let start = 1; start + length <= words.length; start++) {
    sum += weights[start + length - 1] - weights[start - 1];
    if (sum > best.sum + 1e-9) best = { sum, start };
  }
  // A few words before the first one that was asked let the reader into the sentence.
  const first = weights.findIndex((weight, i) => weight && i >= best.start);
  const start = Math.max(0, Math.min(first < 0 ? best.start : first - 4, words.length - length));
  return words.slice(start, start + length).map((word, i) => [word, weights[start + i] > 0]);
}

function excerpt(words) {
  const line = make("span", { className: "bnn-search-excerpt" });
  for (const [word, asked] of words) line.append(asked ? make("mark", { textContent: word }) : word, " ");
  return line;
}

// Pagefind shortens a word until something matches. Only what still resembles a word of the query
// is an answer to it.
export function resembles(words, marked) {
  const shared = (a, b) => [...a].findIndex((letter, i) => letter !== b[i]);
  const letters = (word) => word.toLowerCase().replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, "");
  return words.some((word) =>
    marked.some((mark) => {
      const same = shared(word, letters(mark));
      return same < 0 || same >= Math.max(3, 0.6 * word.length);
    }),
  );
}

function row(section) {
  const link = make("a", { href: section.url });
  link.append(make("span", { className: "bnn-search-title", textContent: section.title }));
  if (section.page !== section.title) {
    link.append(make("span", { className: "bnn-search-page", textContent: section.page }));
  }
  link.append(excerpt(section.words));
  const item = make("li");
  item.append(link);
  return item;
}

// What the results of the single words say of one section.
async function told({ results }) {
  const parts = await Promise.all(results.map((result) => result.data()));
  const text = parts[0].raw_content ?? "";
  const places = parts.flatMap((part) => part.weighted_locations);
  const words = text.split(/\s+/).filter(Boolean);
  const end = words.indexOf(END);
  const own = end < 0 ? words : words.slice(0, end);
  return {
    url: parts[0].url,
    title: parts[0].meta.heading ?? parts[0].meta.title,
    page: parts[0].meta.page,
    words: stretch(own, places.filter(({ location }) => location < own.length)),
    marked: places.map((place) => words[place.location] ?? ""),
  };
}

// The sections that have a word, or the word that it was probably meant to be.
async function ask(pagefind, known, word) {
  const { results } = await pagefind.search(word);
  if (known.includes(word) || (results.length && resembles([word], (await told({ results: [results[0]] })).marked))) {
    return { word, results };
  }
  const meant = mended(word, known);
  return { word: meant, results: meant === word ? results : (await pagefind.search(meant)).results };
}

export async function answer(root, query) {
  const { pagefind, known, names, called } = await load(root);
  const asked = await Promise.all(telling(query).map((word) => ask(pagefind, known, word)));
  const words = asked.map(({ word }) => word);
  const answers = asked.map(({ results }) => results);
  const sections = await Promise.all(ranked(answers, named(words, names), called.get(key(words.join(" ")))).slice(0, 2 * SHOWN).map(told));
  return sections.filter((section) => resembles(words, section.marked)).slice(0, SHOWN);
}

// The same without Pagefind: what headings and readers' words say, and the words of the text.
export function answerFrom({ known, sections, names, prose, called }, query) {
  const there = (word) => stems(word).some((part) => prose.spread.has(part) || names.spread.has(part));
  const words = telling(query).map((word) => (there(word) ? word : mended(word, known)));
  const asked = new Set(stems(words.join(" ")));
  const byName = named(words, names);
  const byText = named(words, prose);
  const exactly = called.get(key(words.join(" "))) ?? new Set();
  const score = (i) => (exactly.has(String(i)) ? CALLED : 0) + NAMED * byName.get(String(i)) + PROSE * sections[i].weight * byText.get(String(i));
  const found = sections.map((section, i) => [score(i), section]).filter(([total]) => total > 0);
  found.sort((a, b) => b[0] - a[0]);
  return found.slice(0, SHOWN).map(([, section]) => {
    const own = section.text.split(/\s+/).filter(Boolean);
    const hits = own.flatMap((word, location) => (stems(word).some((part) => asked.has(part)) ? [{ location, balanced_score: 1 }] : []));
    return { ...section, words: stretch(own, hits) };
  });
}

async function answerOffline(root, query) {
  const found = answerFrom(await loadTexts(root), query);
  return found.map((section) => ({ ...section, url: root + section.url }));
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
  const offline = location.protocol === "file:";
  const [prepare, find] = offline ? [loadTexts, answerOffline] : [load, answer];
  input.addEventListener("focus", () => prepare(root).catch(() => {}), { once: true });
  let latest = 0;
  // Shows what is found for the query that stands there now, unless a later one overtakes it, and
  // says whether it did.
  async function look(pause) {
    const query = input.value.trim().slice(0, LONGEST);
    const mine = ++latest;
    if (query.length < 2) {
      list.replaceChildren();
      status.textContent = "";
      return true;
    }
    try {
      await new Promise((done) => setTimeout(done, pause));
      if (mine !== latest) return false;
      const found = await find(root, query);
      if (mine === latest) fill(list, status, query, found);
    } catch {
      if (mine !== latest) return false;
      list.replaceChildren();
      status.textContent = "The search index did not load. Press Enter for the plain search page.";
    }
    return mine === latest;
  }
  input.addEventListener("input", () => look(PAUSE));
  input.form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!(await look(0))) return;
    const first = list.querySelector("a");
    if (first) first.click();
    else if (input.value.trim()) input.form.submit(); // the plain search page
  });
  list.addEventListener("click", (event) => {
    const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey;
    if (event.target.closest("a") && !elsewhere) dialog.close();
  });
}
