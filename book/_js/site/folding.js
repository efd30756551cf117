// One button folds every cell's source, or opens it; the choice is kept for the next page.
// Without a script every source is where the page puts it, open.

const KEY = "bnnbook-code";
const cells = () => document.querySelectorAll("details.bnn-code");

function remember(hidden) {
  try {
    if (hidden) localStorage.setItem(KEY, "hidden");
    else localStorage.removeItem(KEY);
  } catch {
    // The choice then lasts for this page only.
  }
}

function show(button, hidden) {
  document.documentElement.dataset.code = hidden ? "hidden" : "shown";
  button.setAttribute("aria-pressed", String(hidden));
}

// Figures that nobody has scrolled to are fetched for paper; so is the light one of a dark page.
export async function fetchFigures() {
  const images = [...document.querySelectorAll("article img:not(.bnn-dark)")];
  for (const image of images) image.loading = "eager";
  await Promise.allSettled(images.map((image) => image.decode()));
}

// Solutions and hidden cells are to be on paper too, and paper is light.
function prepareForPrint() {
  fetchFigures(); // too late for some, where the browser's own menu prints
  const root = document.documentElement;
  const theme = root.dataset.theme;
  const closed = [...document.querySelectorAll("article details:not([open])")];
  for (const details of closed) details.open = true;
  root.dataset.theme = "light";
  const restore = () => {
    for (const details of closed) details.open = false;
    root.dataset.theme = theme;
  };
  addEventListener("afterprint", restore, { once: true });
}

export function start() {
  addEventListener("beforeprint", prepareForPrint);
  const button = document.getElementById("bnn-code-button");
  if (!button) return;
  const hidden = document.documentElement.dataset.code === "hidden";
  if (hidden) for (const cell of cells()) cell.open = false;
  show(button, hidden);
  button.addEventListener("click", () => {
    const hide = button.getAttribute("aria-pressed") !== "true";
    for (const cell of cells()) cell.open = !hide;
    remember(hide);
    show(button, hide);
  });
}
