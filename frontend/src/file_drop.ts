/** A file field one can drop on; the chosen names are shown, and a file over the limit is named before it is sent. */
function show(drop: HTMLElement, input: HTMLInputElement): void {
  const place = drop.querySelector<HTMLElement>("[data-file-names]");
  if (!place) return;
  const files = [...(input.files ?? [])];
  const limit = Number(drop.dataset["maxBytes"] ?? 0);
  const tooLarge = files.find((file) => limit > 0 && file.size > limit);
  const message = tooLarge ? (drop.dataset["tooLarge"] ?? "").replace("{name}", tooLarge.name) : "";
  input.setCustomValidity(message);
  place.textContent = message || files.map((file) => file.name).join("、");
  drop.classList.toggle("is-bad", Boolean(message));
}

export function startFileDrops(): void {
  document.addEventListener("change", (event) => {
    const input = event.target as HTMLInputElement;
    const drop = input.closest?.<HTMLElement>("[data-file-drop]");
    if (drop) show(drop, input);
  });
  for (const type of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(type, (event) => {
      const drop = (event.target as HTMLElement).closest?.<HTMLElement>("[data-file-drop]");
      if (!drop) return;
      event.preventDefault();
      drop.classList.toggle("is-over", type === "dragover");
      const input = drop.querySelector<HTMLInputElement>("input[type=file]");
      const files = (event as DragEvent).dataTransfer?.files;
      if (type === "drop" && input && files?.length) {
        input.files = files;
        show(drop, input);
      }
    });
  }
}
