// The entry: finds the interactive figures of a page and loads the code of those kinds only.
// A kind is a module with mount(stage, data); its arithmetic lives in modules without a page.

const KINDS = {
  "beta-updating": () => import("./beta-updating.js"),
  "kl-drag": () => import("./kl-drag.js"),
  "network-prior": () => import("./network-prior.js"),
  "regression-lines": () => import("./regression-lines.js"),
  "sampler-steps": () => import("./sampler-steps.js"),
};

async function start(figure) {
  const stage = figure.querySelector(".bnn-stage");
  const fallback = [...stage.childNodes];
  try {
    const load = KINDS[figure.dataset.figure];
    if (!load) throw new Error(`there is no figure of the kind “${figure.dataset.figure}”`);
    const data = JSON.parse(figure.querySelector('script[type="application/json"]').textContent);
    const { mount } = await load();
    mount(stage, data);
    figure.dataset.state = "ready";
  } catch (error) {
    const message = document.createElement("p");
    message.className = "bnn-error";
    message.textContent = `The interactive figure could not start: ${error.message}.`;
    stage.replaceChildren(message, ...fallback);
    figure.dataset.state = "failed";
  }
}

// A figure starts when it comes near the window, so that the page above it is there sooner.
const NEAR = "1500px 0px";

const watcher = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      start(target);
    }
  },
  { rootMargin: NEAR },
);
for (const figure of document.querySelectorAll(".bnn-figure[data-figure]")) watcher.observe(figure);
