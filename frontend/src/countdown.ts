/** Time left until an instant, in the page's language; the words come with the element. */
function render(element: HTMLElement): void {
  const until = Date.parse(element.getAttribute("datetime") ?? "");
  const place = element.querySelector<HTMLElement>("[data-countdown-text]");
  if (!place || Number.isNaN(until)) return;
  const seconds = Math.floor((until - Date.now()) / 1000);
  if (seconds <= 0) {
    place.textContent = element.dataset["over"] ?? "";
    element.classList.add("is-over");
    return;
  }
  const parts = { d: Math.floor(seconds / 86400), h: Math.floor((seconds % 86400) / 3600),
    m: Math.floor((seconds % 3600) / 60), s: seconds % 60 };
  const template = parts.d > 0 ? "days" : parts.h > 0 ? "hours" : "minutes";
  const text = element.dataset[template] ?? "";
  place.textContent = text.replace(/\{([dhms])\}/g, (_, key: keyof typeof parts) => String(parts[key]));
}

function renderAll(): void {
  document.querySelectorAll<HTMLElement>("time[data-countdown]").forEach(render);
}

export function startCountdowns(): void {
  renderAll();
  window.setInterval(renderAll, 1000);
}
