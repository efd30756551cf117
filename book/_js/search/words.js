// The words of a text as the search counts them: the same when the index is made and when it is asked.

import { stemmer } from "stemmer";

// They are in every section, and in no question that tells anything.
const SILENT = new Set("a an and are for i in is it my of on or the to".split(" "));
const WORDS = /[\p{L}\p{N}]+(?:[-.'_][\p{L}\p{N}]+)*/gu;

const GREEK = Object.fromEntries(
  ("α alpha β beta γ gamma δ delta ε epsilon ζ zeta η eta θ theta ι iota κ kappa λ lambda μ mu ν nu ξ xi π pi ρ rho σ sigma τ tau " +
    "υ upsilon φ phi χ chi ψ psi ω omega").match(/\S+ \S+/g).map((pair) => pair.split(" ")),
);

// Letters with marks and ligatures are written plainly; hats, squares and Greek letters are spelt out.
const plain = (text) =>
  text
    .replace(/²|\^2\b/g, " squared ")
    .normalize("NFKD")
    .replaceAll("\u0302", "hat")
    .replace(/\p{M}/gu, "")
    .replaceAll("’", "'")
    .replace(/[‐‑]/g, "-")
    .toLowerCase()
    .replace(/[α-ω]/g, (letter) => GREEK[letter] ?? letter);

export const split = (text) => plain(text).match(WORDS) ?? [];

// A word with a hyphen is also its parts, and written without it.
const forms = (word) => (/[-._]/.test(word) ? [word, word.replace(/[-._]/g, ""), ...word.split(/[-._]/)] : [word]);

export const tokenize = (text) => split(text).flatMap(forms);

// What British and American spelling, singular and plural, and most forms of a verb share; nothing
// for a word that doesn't count.
export function processTerm(word) {
  if (SILENT.has(word)) return null;
  const american = word
    .replace(/'s?$/, "")
    .replaceAll("our", "or")
    .replace("centre", "center")
    .replace("lys", "lyz")
    .replace(/is(e[ds]?|er|ing|ation)$/, "iz$1");
  return stemmer(american);
}

export const stems = (text) => tokenize(text).map(processTerm).filter(Boolean);

// What of a section is searched: its heading and readers' words, its text or, where it repeats what
// others teach, that text, and the names in its code.
export const OPTIONS = { fields: ["asked", "text", "repeated", "code"], tokenize, processTerm };
