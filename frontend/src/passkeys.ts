/** allauth says on the document that a passkey did not come about; the page carries the words for it. */
export function startPasskeys(): void {
  document.addEventListener("allauth.error", (event) => {
    const words = document.querySelector<HTMLTemplateElement>("template[data-passkey-failed]");
    if (!words) return;
    event.preventDefault();
    document.getElementById("refusal")?.replaceChildren(words.content.cloneNode(true));
  });
}
