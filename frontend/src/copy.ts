/** Copy buttons say in their own words that it worked, and say it to screen readers too. */
export function startCopyButtons(): void {
  document.addEventListener("click", async (event) => {
    const button = (event.target as HTMLElement).closest<HTMLButtonElement>("button[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset["copy"] ?? "");
    const status = button.querySelector("[data-copy-status]");
    button.classList.add("is-copied");
    if (status) status.textContent = button.dataset["copied"] ?? "";
    window.setTimeout(() => {
      button.classList.remove("is-copied");
      if (status) status.textContent = "";
    }, 2000);
  });
}
