/**
 * Confirm dialogs are popovers, so they open without JavaScript. With it they become modal: focus stays inside,
 * the page behind is inert, and focus goes back to the button that opened them.
 */
export function startDialogs(): void {
  document.addEventListener("click", (event) => {
    const button = (event.target as HTMLElement).closest<HTMLButtonElement>("button[popovertarget]");
    const dialog = button && document.getElementById(button.getAttribute("popovertarget") ?? "");
    if (!button || !(dialog instanceof HTMLDialogElement)) return;
    event.preventDefault();
    if (button.getAttribute("popovertargetaction") === "hide") {
      dialog.close();
    } else if (!dialog.open) {
      dialog.removeAttribute("popover");
      dialog.showModal();
    }
  });
}
