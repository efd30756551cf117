// Where an address within the page leads: what is folded around it opens, and it stays where the
// browser scrolled to while sections near it are laid out and find their height. So does the place
// that was read, when the page is loaded again or come back to.

const FRAMES = 30; // half a second
const PLACE = `bnnbook-place ${location.pathname}`;
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

function hold(scroll) {
  let left = FRAMES;
  const stop = () => {
    left = 0;
    for (const move of MOVES) removeEventListener(move, stop, true);
  };
  for (const move of MOVES) addEventListener(move, stop, { capture: true, passive: true });
  const settle = () => {
    if (left-- <= 0) return stop();
    scroll();
    requestAnimationFrame(settle);
  };
  requestAnimationFrame(settle);
}

function holdTarget() {
  const element = target();
  if (!element) return;
  open();
  hold(() => element.scrollIntoView({ behavior: "instant", block: "start" }));
}

// The section that is being read, and where its top is.
function rememberPlace() {
  const top = (section) => section.getBoundingClientRect().top;
  const section = [...document.querySelectorAll("article section[id]")].filter((each) => top(each) <= 0).at(-1);
  try {
    sessionStorage.setItem(PLACE, JSON.stringify(section ? { id: section.id, top: top(section) } : {}));
  } catch {
    // The browser then does what it can.
  }
}

function holdPlace() {
  let place = {};
  try {
    place = JSON.parse(sessionStorage.getItem(PLACE)) ?? {};
  } catch {
    return;
  }
  const section = document.getElementById(place.id);
  if (section) hold(() => scrollBy({ top: section.getBoundingClientRect().top - place.top, behavior: "instant" }));
}

export function start() {
  addEventListener("hashchange", open);
  open();
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    const here = link && link.hash && link.href.split("#")[0] === location.href.split("#")[0];
    // After the browser has followed it, and not where it goes to another window.
    if (here) setTimeout(() => link.hash === location.hash && !event.defaultPrevented && holdTarget());
  });
  const [arrival] = performance.getEntriesByType("navigation");
  if (arrival?.type === "navigate") holdTarget();
  else holdPlace();
  addEventListener("pagehide", rememberPlace);
}
