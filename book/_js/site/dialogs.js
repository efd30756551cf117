// On a narrow screen the theme moves the contents of the book and of the page into dialogs; the search
// is one everywhere. Each gets a button that closes it, and closes when a link in it is followed.

const HOLDERS = "#pst-primary-sidebar, #pst-secondary-sidebar, #pst-search-dialog form";

export function start() {
  for (const holder of document.querySelectorAll(HOLDERS)) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "bnn-close", textContent: "✕" });
    button.setAttribute("aria-label", "Close");
    if (holder.tagName === "FORM") holder.append(button);
    else holder.prepend(button);
  }
  document.addEventListener("click", (event) => {
    const dialog = event.target.closest("dialog[open]");
    const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey;
    if (dialog && !elsewhere && event.target.closest("a[href], .bnn-close")) dialog.close();
  });
}
