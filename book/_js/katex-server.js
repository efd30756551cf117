// Renders formulas for the build. Each line on stdin is {tex, display}; each gets one line back,
// {html} or {error}. The macros come once, as JSON, in the first argument; the second says what
// KaTeX is to write.
import { createInterface } from "node:readline";
import katex from "katex";

const macros = JSON.parse(process.argv[2] ?? "{}");
const output = process.argv[3] ?? "htmlAndMathml";

// Sphinx wraps several lines itself, so a bare line break in a display is no mistake.
const strict = (code) => (code === "newLineInDisplayMode" ? "ignore" : "error");

function answer({ tex, display }) {
  try {
    // A copy: KaTeX writes \gdef and the like into the object that it is given.
    const options = { displayMode: display, macros: { ...macros }, strict, output };
    return { html: katex.renderToString(tex, options) };
  } catch (error) {
    return { error: String(error.message) };
  }
}

createInterface({ input: process.stdin }).on("line", (line) => {
  process.stdout.write(`${JSON.stringify(answer(JSON.parse(line)))}\n`);
});
