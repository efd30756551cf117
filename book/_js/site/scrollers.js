// A wide formula, table or source scrolls inside its own box. Such a box takes the keyboard's focus
// while it overflows, and only then.

const BOXES = {
  "div.math": "Formula, scrolls sideways",
  "article .pst-scrollable-table-container": "Table, scrolls sideways",
  "article pre": "Code, scrolls sideways",
};

function mark(box, label) {
  const overflows = box.scrollWidth > box.clientWidth + 1;
  if (overflows === box.hasAttribute("data-bnn-scrolls")) return;
  box.toggleAttribute("data-bnn-scrolls", overflows);
  for (const [name, value] of [["tabindex", "0"], ["role", "group"], ["aria-label", label]]) {
    if (overflows) box.setAttribute(name, value);
    else box.removeAttribute(name);
  }
}

export function start() {
  const all = Object.entries(BOXES).flatMap(([css, label]) =>
    [...document.querySelectorAll(css)].map((box) => [box, label]),
  );
  const labels = new Map(all);
  // Also called once for each box when the observing starts, and when a fold opens.
  const watcher = new ResizeObserver((entries) => {
    for (const { target } of entries) mark(target, labels.get(target));
  });
  for (const box of labels.keys()) watcher.observe(box);
  document.fonts?.ready.then(() => all.forEach(([box, label]) => mark(box, label)));
}
