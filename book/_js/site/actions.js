// Buttons that the theme would run by inline handlers, and copying text.

import { fetchFigures } from "./folding.js";

const ACTIONS = {
  fullscreen: () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()),
  print: () => fetchFigures().then(() => window.print()),
};

async function copy(button) {
  const text = document.getElementById(button.dataset.bnnCopy).textContent;
  button.dataset.label ??= button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Copying is blocked";
  }
  setTimeout(() => (button.textContent = button.dataset.label), 2000);
}

export function start() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-bnn-action], [data-bnn-copy]");
    if (!button) return;
    if (button.dataset.bnnCopy) copy(button);
    else ACTIONS[button.dataset.bnnAction]?.();
  });
  for (const button of document.querySelectorAll("[data-bnn-copy]")) button.setAttribute("aria-live", "polite");
}
