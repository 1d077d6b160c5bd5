import type { Address, EIP1193Provider, Hex } from "viem";
import { getAddress, stringToHex } from "viem/utils";
import { Refusal } from "./errors";

/** What the page says about the signature it needs. */
export interface Task {
  action: "prove" | "typed-data" | "transaction";
  url: string;
  payload: string;
}

/** What goes into the fields of the page's form. */
export type Fields = Record<string, string>;

function csrfToken(): string {
  return document.querySelector<HTMLMetaElement>("meta[name=csrf-token]")?.content ?? "";
}

/** Ask the portal; its refusals come with a sentence. */
async function ask(url: string, values: Fields): Promise<Record<string, string>> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "X-CSRFToken": csrfToken(), Accept: "application/json" },
    body: new URLSearchParams(values),
    redirect: "error",
  });
  const answer = (await response.json()) as Record<string, string>;
  if (!response.ok) throw new Refusal(answer["refusal"] ?? "");
  return answer;
}

/**
 * The wallet is asked with its own methods (EIP-1193, EIP-712), each once: a client that asks again by itself would open
 * its window again, and all the rest of a client library would be weight on the page.
 */
export async function accountOf(provider: EIP1193Provider): Promise<Address | undefined> {
  const [first] = await provider.request({ method: "eth_requestAccounts" });
  return first && getAddress(first);
}

export async function chainOf(provider: EIP1193Provider): Promise<number> {
  return Number(await provider.request({ method: "eth_chainId" }));
}

async function prove(provider: EIP1193Provider, account: Address, task: Task): Promise<Fields> {
  const { message = "" } = await ask(task.url, { address: account });
  const signature = await provider.request({ method: "personal_sign", params: [stringToHex(message), account] });
  return { message, signature };
}

async function signTypedData(provider: EIP1193Provider, account: Address, task: Task): Promise<Fields> {
  const typed = document.getElementById(task.payload)?.textContent ?? "";
  return { signature: await provider.request({ method: "eth_signTypedData_v4", params: [account, typed] }) };
}

/** The portal checks once more and says what to send; the wallet sends it, and its hash goes back to the portal. */
async function send(provider: EIP1193Provider, account: Address, task: Task): Promise<Fields> {
  const { to = "", data = "", from = "" } = await ask(task.url, {});
  if (getAddress(from) !== account) throw new Refusal("");
  const call = { from: account, to: to as Hex, data: data as Hex, value: "0x0" as Hex };
  return { hash: await provider.request({ method: "eth_sendTransaction", params: [call] }) };
}

export function perform(provider: EIP1193Provider, account: Address, task: Task): Promise<Fields> {
  return { prove, "typed-data": signTypedData, transaction: send }[task.action](provider, account, task);
}
