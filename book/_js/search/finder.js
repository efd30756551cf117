// What is loaded with the first search: MiniSearch, and how its answers are ranked and shown.

import MiniSearch from "minisearch";

import { OPTIONS, processTerm, split, stems, tokenize } from "./words.js";

const SHOWN = 12;
const EXCERPT = 24; // words
const LEAD = 4; // words before the first one that was asked, which let the reader into the sentence
const CALLED = 1000; // how many times more a section counts that is called exactly what is asked

// Chosen by readers' questions (docs/decisions/0008-search.md): how much the fields count, how slowly
// a word that stands there several times has its full effect, and how much a long text counts against
// itself.
const RANKING = {
  boost: { asked: 1, text: 0.1, repeated: 0.02, code: 0.02 },
  bm25: { k: 4, b: 0.5, d: 0 },
};

// Words that ask, and do not tell what is asked.
const ASKING = new Set(
  ("about am any as at be been being between by can could did difference do does doing from get give had has have how if into its just let make " +
    "many me much must no not one our s shall should so some t than that their them then there these they this those too up us use used " +
    "using versus very vs was we were what when where which who why will with would you your").split(" "),
);
const ASKED = new Set([...ASKING].map(processTerm));

// The stems that tell what is asked; all of them where none does.
function telling(all) {
  const told = all.filter((stem) => !ASKED.has(stem));
  return told.length ? told : all;
}

// What a text is about, however it is put.
const key = (text) => [...new Set(telling(stems(text)))].sort().join(" ");

// How many letters must be added, dropped, changed or swapped to make one word of another.
function distance(a, b) {
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

// The nearest of some words, the first of those equally near; the word itself where none is near, or
// where it is a number or the name of an option.
export function mended(word, words) {
  if (!/^\p{L}{5,}$/u.test(word)) return word;
  let best = { word, far: word.length < 8 ? 2 : 3 };
  for (const other of words) {
    if (Math.abs(other.length - word.length) >= best.far) continue;
    const far = distance(word, other);
    if (far < best.far) best = { word: other, far };
  }
  return best.word;
}

// The stretch of a text that has the most of some stems, as pairs of a word and whether it has one.
export function stretch(text, wanted, length = EXCERPT) {
  const words = text.split(/\s+/).filter(Boolean);
  const has = words.map((word) => stems(word).filter((stem) => wanted.has(stem)));
  const rich = (start) => new Set(has.slice(start, start + length - LEAD).flat()).size;
  let best = 0;
  has.forEach(({ length: hit }, i) => {
    if (hit && rich(i) > rich(best)) best = i;
  });
  const start = Math.max(0, Math.min(best - LEAD, words.length - length));
  return words.slice(start, start + length).map((word, i) => [word, has[start + i].length > 0]);
}

// The function that answers a query by the sections that `write.js` has written, best first.
export function open({ index, sections, words }) {
  const engine = MiniSearch.loadJS(index, OPTIONS);
  const called = new Map();
  sections.forEach(({ names }, id) => {
    for (const name of names) called.set(key(name), (called.get(key(name)) ?? new Set()).add(id));
  });
  const exactly = { processTerm: (term) => term, tokenize: (term) => [term] };
  const known = (word) => tokenize(word).some((part) => processTerm(part) && engine.search(processTerm(part), exactly).length);

  // A word that no section has is not yet typed to its end, if it is the last, or misspelt.
  function meant(word, i, all) {
    if (known(word) || (all.length > 1 && !processTerm(word))) return word;
    const whole = i === all.length - 1 && word.length > 1 && words.find((other) => other.startsWith(word));
    return whole || mended(word, words);
  }

  return function find(query) {
    const asked = [...new Set(split(query))].map(meant).join(" ");
    const exact = called.get(key(asked));
    const boostDocument = (id) => (exact?.has(id) ? CALLED : 1);
    const found = engine.search(asked, { ...RANKING, boostDocument }).slice(0, SHOWN);
    return found.map(({ id, terms }) => ({ ...sections[id], words: stretch(sections[id].text, new Set(telling(terms))) }));
  };
}

globalThis.bnnFinder = open;
