/** `once` buttons: after the first submit they wait for the answer. The server refuses a second act anyway. */
function holdButtons(form: HTMLFormElement): void {
  for (const button of form.querySelectorAll<HTMLButtonElement>("button[data-once]")) {
    button.setAttribute("aria-disabled", "true");
    button.setAttribute("aria-busy", "true");
  }
  form.dataset["sent"] = "true";
}

function releaseButtons(root: ParentNode): void {
  for (const form of root.querySelectorAll<HTMLFormElement>("form[data-sent]")) delete form.dataset["sent"];
  for (const button of root.querySelectorAll("button[data-once][aria-busy]")) {
    button.removeAttribute("aria-disabled");
    button.removeAttribute("aria-busy");
  }
}

function focusErrors(root: ParentNode): void {
  root.querySelector<HTMLElement>("[data-error-summary]")?.focus();
}

export function startForms(): void {
  document.addEventListener("submit", (event) => {
    const form = event.target as HTMLFormElement;
    if (form.dataset["sent"]) {
      event.preventDefault();
      event.stopImmediatePropagation();
    } else if (form.querySelector("button[data-once]")) {
      holdButtons(form);
    }
  }, true);
  // Coming back with the browser's back button shows the page as it was left: let it be used again.
  window.addEventListener("pageshow", () => releaseButtons(document));
  document.addEventListener("htmx:afterRequest", (event) => {
    const form = (event.target as HTMLElement).closest("form");
    if (form?.parentElement) releaseButtons(form.parentElement);
  });
  // A select or checkbox marked so sends its form by itself; without JavaScript the form's button does.
  document.addEventListener("change", (event) => {
    const field = event.target as HTMLElement;
    if (field.matches("[data-submit-on-change]")) field.closest("form")?.requestSubmit();
  });
  document.addEventListener("click", (event) => {
    const link = (event.target as HTMLElement).closest<HTMLAnchorElement>("[data-error-summary] a[href^='#']");
    const field = link && document.getElementById(link.hash.slice(1));
    if (field) {
      event.preventDefault();
      field.scrollIntoView({ block: "center" });
      field.focus({ preventScroll: true });
    }
  });
  document.addEventListener("htmx:afterSwap", (event) => focusErrors(event.target as HTMLElement));
  focusErrors(document);
}
