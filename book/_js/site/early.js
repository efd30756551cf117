// Runs before the first paint, inline: settles light or dark, and whether code is folded, so that
// nothing flashes. Storage may be closed to us (private windows, some file:// pages).
const root = document.documentElement;
const stored = (key) => {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
};

const mode = stored("mode") || "auto";
const dark = mode === "dark" || (mode === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
root.dataset.mode = mode;
root.dataset.theme = dark ? "dark" : "light";
root.dataset.code = stored("bnnbook-code") === "hidden" ? "hidden" : "shown";
root.classList.add("bnn-js");
