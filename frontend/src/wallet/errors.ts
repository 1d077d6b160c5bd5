/** Which sentence of the page tells what a wallet answered. The codes are EIP-1193's, EIP-1474's and EIP-3085's. */
export type Trouble = "rejected" | "pending" | "locked" | "unauthorised" | "disconnected" | "funds" | "unsupported" | "failed";

const BY_CODE: Record<number, Trouble> = {
  4001: "rejected",
  4100: "unauthorised",
  4200: "unsupported",
  4900: "disconnected",
  4901: "disconnected",
  [-32002]: "pending",
  [-32004]: "unsupported",
  [-32601]: "unsupported",
};

/** A refusal of the portal itself: its sentence is already for people. */
export class Refusal extends Error {}

/** The wallet cannot go on, for a reason the page has a sentence for. */
export class Stopped extends Error {
  constructor(readonly trouble: Trouble) {
    super(trouble);
  }
}

/** The error's own code, or that of what caused it: some wallets wrap what happened. */
function codesOf(error: unknown): number[] {
  const codes: number[] = [];
  for (let at = error as { code?: unknown; cause?: unknown } | undefined; at; at = at.cause as typeof at) {
    if (typeof at.code === "number") codes.push(at.code);
    if (codes.length > 10) break;
  }
  return codes;
}

export function codeIn(error: unknown, code: number): boolean {
  return codesOf(error).includes(code);
}

export function troubleOf(error: unknown): Trouble {
  if (error instanceof Stopped) return error.trouble;
  const known = codesOf(error).map((code) => BY_CODE[code]).find(Boolean);
  if (known) return known;
  return /insufficient funds/i.test(String((error as Error)?.message ?? "")) ? "funds" : "failed";
}

/** The wallet's own words, small beneath ours. */
export function detailOf(error: unknown): string {
  const { shortMessage, details, message } = (error ?? {}) as { shortMessage?: string; details?: string; message?: string };
  return (details || shortMessage || message || "").slice(0, 200);
}
