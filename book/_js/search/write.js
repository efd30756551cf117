// Run by book/_ext/searching.py: node write.js SECTIONS.json FINDER.js TARGET.js. Writes what the dialog
// loads: the finder and what it finds in one classic script, which a page read from a file may load
// too, and whose parts are always of one build.

import { readFileSync, writeFileSync } from "node:fs";

import MiniSearch from "minisearch";

import { OPTIONS, split } from "./words.js";

const SHORTEST = 5; // letters of a word by which a misspelt one is set right
const LEAST = 3; // sections that have it, so that it is no slip itself

const [source, finder, target] = process.argv.slice(2);
const sections = JSON.parse(readFileSync(source, "utf8"));
const index = new MiniSearch(OPTIONS);
index.addAll(sections.map(({ repeats, text, asked, code }, id) => ({ id, asked, code, [repeats ? "repeated" : "text"]: text })));
const shown = sections.map(({ url, title, page, text, names }) => ({ url, title, page, text, names }));
const spread = new Map();
for (const { asked, text } of sections) {
  for (const word of new Set(split(`${asked} ${text}`))) spread.set(word, (spread.get(word) ?? 0) + 1);
}
const common = [...spread].filter(([word, count]) => count >= LEAST && word.length >= SHORTEST && /^\p{L}+$/u.test(word));
const words = common.sort((a, b) => b[1] - a[1]).map(([word]) => word);
const data = JSON.stringify({ index, sections: shown, words });
writeFileSync(target, `${readFileSync(finder, "utf8")}\nglobalThis.bnnFind=bnnFinder(${data});`);
