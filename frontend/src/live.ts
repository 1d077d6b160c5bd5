import type htmxModule from "htmx.org";

type Htmx = typeof htmxModule;

/** Strict content policy: no eval, no style element of its own, and only our own origin. */
function configure(htmx: Htmx): void {
  htmx.config.allowEval = false;
  htmx.config.includeIndicatorStyles = false;
  htmx.config.selfRequestsOnly = true;
  htmx.config.historyCacheSize = 0; // pages hold personal data; none of it stays in the browser's storage
  htmx.config.scrollIntoViewOnBoost = false;
}

function csrfToken(): string {
  return document.querySelector<HTMLMetaElement>("meta[name=csrf-token]")?.content ?? "";
}

/** The answer could not be had at all: say so where refusals stand, in the words the page carries. */
function sayFailed(): void {
  const place = document.getElementById("refusal");
  const words = document.body.dataset["failed"];
  if (place && words && place.childElementCount === 0) {
    const notice = document.createElement("div");
    notice.className = "notice notice-bad";
    notice.setAttribute("role", "alert");
    notice.textContent = words;
    place.append(notice);
  }
}

export function startLiveParts(htmx: Htmx): void {
  configure(htmx);
  document.addEventListener("htmx:configRequest", (event) => {
    const { headers, verb } = (event as CustomEvent).detail;
    if (verb !== "get") headers["X-CSRFToken"] = csrfToken();
  });
  // A refusal comes with its own place to stand (HX-Retarget) and must be shown whatever its status.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { detail } = event as CustomEvent;
    if (detail.xhr.getResponseHeader("HX-Retarget")) {
      detail.shouldSwap = true;
      detail.isError = false;
    }
  });
  document.addEventListener("htmx:responseError", sayFailed);
  document.addEventListener("htmx:sendError", sayFailed);
  document.addEventListener("htmx:afterRequest", (event) => {
    const { successful } = (event as CustomEvent).detail;
    if (successful) document.querySelector("#refusal > .notice-bad:not([data-code])")?.remove();
  });
}
