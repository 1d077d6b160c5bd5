import type { EIP1193Provider } from "viem";

/** A browser wallet that announced itself (EIP-6963). */
export interface FoundWallet {
  info: { uuid: string; name: string; icon: string; rdns: string };
  provider: EIP1193Provider;
}

/** Only pictures that cannot fetch anything; whatever else a wallet sends as its icon is left out. */
function harmless(icon: string): string {
  return /^data:image\/(png|webp|gif|jpeg|svg\+xml)[;,]/.test(icon) ? icon : "";
}

/** Call `found` for every wallet in this browser, those that come later too. */
export function discover(found: (wallet: FoundWallet) => void): void {
  const seen = new Set<string>();
  window.addEventListener("eip6963:announceProvider", (event) => {
    const { info, provider } = (event as CustomEvent<FoundWallet>).detail ?? {};
    if (!info?.uuid || !info.name || typeof provider?.request !== "function" || seen.has(info.uuid)) return;
    seen.add(info.uuid);
    found({ info: { ...info, icon: harmless(info.icon ?? "") }, provider });
  });
  window.dispatchEvent(new Event("eip6963:requestProvider"));
}
