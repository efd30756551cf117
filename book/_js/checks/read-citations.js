// Reads bibliography files as citation-js does and prints what it made of each, as CSL-JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const Cite = createRequire(import.meta.url)("citation-js");

const read = (path) => new Cite(readFileSync(path, "utf8"), { generateGraph: false }).data;
process.stdout.write(JSON.stringify(process.argv.slice(2).map(read)));
