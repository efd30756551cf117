// A wide formula, table or source scrolls inside its own box. Such a box takes the keyboard's focus
// while it overflows, and only then.

const BOXES = {
  "div.math": "Formula, scrolls sideways",
  "article .pst-scrollable-table-container": "Table, scrolls sideways",
  "article pre": "Code, scrolls sideways",
};

function mark(box, label) {
  if (!box.clientWidth) return; // it is not laid out, which tells nothing
  const overflows = box.scrollWidth > box.clientWidth + 1;
  if (overflows === box.hasAttribute("data-bnn-scrolls")) return;
  box.toggleAttribute("data-bnn-scrolls", overflows);
  for (const [name, value] of [["tabindex", "0"], ["role", "group"], ["aria-label", label]]) {
    if (overflows) box.setAttribute(name, value);
    else box.removeAttribute(name);
  }
}

export function start() {
  const labels = new Map();
  for (const [css, label] of Object.entries(BOXES)) {
    for (const box of document.querySelectorAll(css)) labels.set(box, label);
  }
  const laidOut = new Set();
  // Also called once for each box when the observing starts, when a fold opens, and when a section
  // that the browser had not laid out yet comes near.
  const watcher = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      laidOut.add(target);
      mark(target, labels.get(target));
    }
  });
  for (const box of labels.keys()) watcher.observe(box);
  document.fonts?.ready.then(() => laidOut.forEach((box) => mark(box, labels.get(box))));
  // The keyboard may go from box to box faster than the window: it needs all of them.
  const measureAll = (event) => {
    if (event.key !== "Tab") return;
    removeEventListener("keydown", measureAll, true);
    labels.forEach((label, box) => mark(box, label));
  };
  addEventListener("keydown", measureAll, true);
}
