/**
 * Keyboard for work queues: j and k move, Enter opens, c claims, / goes to the search, ? shows the keys.
 * A queue is any element with data-queue; its rows are [data-queue-row] and hold a link and, maybe, [data-queue-claim].
 */
function rows(): HTMLElement[] {
  return [...document.querySelectorAll<HTMLElement>("[data-queue] [data-queue-row]")];
}

function current(): HTMLElement | null {
  return document.querySelector<HTMLElement>("[data-queue] [data-queue-row].is-current");
}

function move(step: number): void {
  const all = rows();
  const at = all.indexOf(current() as HTMLElement);
  const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
  if (!next) return;
  all.forEach((row) => row.classList.toggle("is-current", row === next));
  next.querySelector<HTMLElement>("a[href]")?.focus();
  next.scrollIntoView({ block: "nearest" });
}

const keys: Record<string, (event: KeyboardEvent) => void> = {
  j: () => move(1),
  k: () => move(-1),
  Enter: () => current()?.querySelector<HTMLElement>("a[href]")?.click(),
  c: () => current()?.querySelector<HTMLElement>("[data-queue-claim]")?.click(),
  "/": (event) => {
    const search = document.querySelector<HTMLInputElement>("form.filters input[type=search], form.filters input[type=text]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  },
};

export function startQueueKeys(): void {
  document.addEventListener("keydown", (event) => {
    const target = event.target as HTMLElement;
    if (!document.querySelector("[data-queue]") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.matches("input, select, textarea, [contenteditable]")) return;
    if (event.key === "Enter" && target.matches("a, button, summary")) return;
    keys[event.key]?.(event);
  });
}
