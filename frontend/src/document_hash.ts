/** Works out a chosen file's SHA-256 in the browser and compares it with those on the page. Nothing is sent anywhere. */
async function sha256(file: File): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function compare(check: HTMLElement, file: File): Promise<{ text: string; tone: string }> {
  // Browsers work hashes out only on pages that came over https, or from this very machine.
  if (!window.isSecureContext) return { text: check.dataset["unable"] ?? "", tone: "bad" };
  const hash = await sha256(file);
  const found = document.querySelector<HTMLElement>(`[data-sha256="${hash}"]`);
  if (!found) return { text: (check.dataset["other"] ?? "").replace("{hash}", hash), tone: "bad" };
  return { text: (check.dataset["match"] ?? "").replace("{name}", found.dataset["name"] ?? ""), tone: "good" };
}

export function startDocumentChecks(): void {
  const start = async (element: HTMLElement): Promise<void> => {
    const check = element.closest<HTMLElement>("[data-document-check]");
    const input = check?.querySelector<HTMLInputElement>("input[type=file]");
    const place = check?.querySelector<HTMLElement>("[data-document-result]");
    const file = input?.files?.[0];
    if (!check || !place || !file) return;
    const { text, tone } = await compare(check, file);
    place.textContent = text;
    place.className = `notice notice-${tone}`;
  };
  document.addEventListener("change", (event) => void start(event.target as HTMLElement));
  // A dropped file is put into the field by the file field's own listener, which is set before this one.
  document.addEventListener("drop", (event) => void start(event.target as HTMLElement));
}
