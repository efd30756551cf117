// Starts the figures of one kind on a page. A kind is a module with mount(stage, data), bundled with
// this one by itself (bundles.py), so that a page loads the kinds that it shows; its arithmetic lives
// in modules without a page.

function run(figure, mount) {
  const stage = figure.querySelector(".bnn-stage");
  const fallback = [...stage.childNodes];
  try {
    const data = JSON.parse(figure.querySelector('script[type="application/json"]').textContent);
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

export function start(kind, mount) {
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        watcher.unobserve(target);
        run(target, mount);
      }
    },
    { rootMargin: NEAR },
  );
  for (const figure of document.querySelectorAll(`.bnn-figure[data-figure="${kind}"]`)) watcher.observe(figure);
}
