/** The colours a reader chose: the server has kept them and says so with the event `theme`; the page follows at once. */
function follow(theme: string): void {
  document.documentElement.dataset["theme"] = theme;
  for (const button of document.querySelectorAll<HTMLButtonElement>("button[name=theme]")) {
    button.setAttribute("aria-pressed", String(button.value === theme));
  }
  for (const choice of document.querySelectorAll<HTMLInputElement>("input[name=theme]")) {
    choice.checked = choice.value === theme;
  }
  for (const meta of document.querySelectorAll<HTMLMetaElement>("meta[name=theme-color]")) {
    const scheme = meta.dataset["scheme"] ?? "";
    const forced = theme === scheme ? "all" : "not all";
    meta.media = theme === "system" ? `(prefers-color-scheme: ${scheme})` : forced;
  }
}

export function startThemeChoice(): void {
  document.addEventListener("theme", (event) => follow(String((event as CustomEvent).detail.value)));
}
