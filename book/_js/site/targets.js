// Where an address within the page leads: what is folded around it opens, and it stays where the
// browser scrolled to while sections near it are laid out and find their height.

const FRAMES = 30; // half a second
const MOVES = ["wheel", "touchmove", "keydown", "pointerdown"]; // the reader's own

// An address may end in anything, "#100%" too.
function target() {
  let id = location.hash.slice(1);
  try {
    id = decodeURIComponent(id);
  } catch {
    // It stays as it is written.
  }
  return id ? document.getElementById(id) : null;
}

function open() {
  for (let node = target(); node; node = node.parentElement) {
    if (node.tagName === "DETAILS") node.open = true;
  }
}

function hold() {
  const element = target();
  if (!element) return;
  open();
  let left = FRAMES;
  const stop = () => {
    left = 0;
    for (const move of MOVES) removeEventListener(move, stop, true);
  };
  for (const move of MOVES) addEventListener(move, stop, { capture: true, passive: true });
  const settle = () => {
    if (left-- <= 0) return stop();
    element.scrollIntoView({ behavior: "instant", block: "start" });
    requestAnimationFrame(settle);
  };
  requestAnimationFrame(settle);
}

export function start() {
  addEventListener("hashchange", open);
  open();
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    const here = link && link.hash && link.href.split("#")[0] === location.href.split("#")[0];
    // After the browser has followed it, and not where it goes to another window.
    if (here) setTimeout(() => link.hash === location.hash && !event.defaultPrevented && hold());
  });
  const [arrival] = performance.getEntriesByType("navigation");
  if (arrival?.type === "navigate") hold(); // not where the browser puts back what was read
}
