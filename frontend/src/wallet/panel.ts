import type { Address } from "viem";
import { getAddress, numberToHex } from "viem/utils";
import { accountOf, chainOf, type Fields, perform, type Task } from "./actions";
import { discover, type FoundWallet } from "./discovery";
import { codeIn, detailOf, Refusal, Stopped, troubleOf } from "./errors";

/**
 * The panel a page shows where a wallet has to sign: choose the wallet, see that account and network are the right ones,
 * sign. Every sentence comes with the page, in its language. What is signed is put into the page's own form and sent, so
 * that after anything that goes wrong the page is as it was.
 */
export class Panel {
  private readonly task: Task;
  private chosen?: FoundWallet;
  private account?: Address;
  private busy = false;

  constructor(private readonly root: HTMLElement) {
    const { action, url, payload } = root.dataset;
    this.task = { action: action as Task["action"], url: url ?? "", payload: payload ?? "" };
  }

  start(): void {
    this.part("list").hidden = false;
    discover((wallet) => this.offer(wallet));
    // Wallets answer at once; a moment later none means there is none.
    window.setTimeout(() => {
      if (!this.root.querySelector("[data-wallet-choice]")) this.say("none", "warn");
    }, 600);
    this.part("go").addEventListener("click", () => void this.guard(() => this.go()));
    this.part("switch").addEventListener("click", () => void this.guard(() => this.switchNetwork()));
  }

  private part(name: string): HTMLElement {
    return this.root.querySelector<HTMLElement>(`[data-wallet-${name}]`) as HTMLElement;
  }

  private words(name: string): string {
    return this.root.getAttribute(`data-say-${name}`) ?? "";
  }

  private offer(wallet: FoundWallet): void {
    if (!this.root.querySelector("[data-wallet-choice]")) this.part("notice").replaceChildren();
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button button-secondary wallet-choice";
    button.dataset["walletChoice"] = wallet.info.rdns;
    button.setAttribute("aria-pressed", "false");
    if (wallet.info.icon) {
      const picture = document.createElement("img");
      Object.assign(picture, { src: wallet.info.icon, alt: "", width: 24, height: 24 });
      button.append(picture);
    }
    button.append(wallet.info.name);
    button.addEventListener("click", () => void this.guard(() => this.connect(wallet, button)));
    this.part("list").append(button);
  }

  private async connect(wallet: FoundWallet, button: HTMLElement): Promise<void> {
    this.chosen = wallet;
    this.root.querySelectorAll("[data-wallet-choice]").forEach((other) => {
      other.setAttribute("aria-pressed", String(other === button));
    });
    this.say("asking", "info");
    this.account = await accountOf(wallet.provider);
    wallet.provider.on?.("accountsChanged", ([first]) => {
      this.account = first && getAddress(first);
      void this.guard(() => this.look());
    });
    wallet.provider.on?.("chainChanged", () => void this.guard(() => this.look()));
    await this.look();
  }

  /** Show account and network, and what stands in the way; true if nothing does. */
  private async look(): Promise<boolean> {
    this.part("go").hidden = true;
    this.part("switch").hidden = true;
    if (!this.chosen || !this.account) throw new Stopped("locked");
    this.part("account").textContent = this.account;
    this.part("account-row").hidden = false;
    const expected = this.root.dataset["account"];
    if (expected && getAddress(expected) !== this.account) {
      this.say("other-account", "warn");
      return false;
    }
    if ((await chainOf(this.chosen.provider)) !== Number(this.root.dataset["chain"])) {
      this.say("network", "warn");
      this.part("switch").hidden = false;
      return false;
    }
    this.say("ready", "info");
    this.part("go").hidden = false;
    return true;
  }

  private async switchNetwork(): Promise<void> {
    const chainId = numberToHex(Number(this.root.dataset["chain"]));
    const { chainName = "", rpc = "" } = this.root.dataset;
    try {
      await this.chosen?.provider.request({ method: "wallet_switchEthereumChain", params: [{ chainId }] });
    } catch (error) {
      // 4902: the wallet does not know the network. It can be told where the network is public.
      if (!codeIn(error, 4902) || !rpc) throw error;
      const nativeCurrency = { name: "Ether", symbol: "ETH", decimals: 18 };
      await this.chosen?.provider.request({
        method: "wallet_addEthereumChain",
        params: [{ chainId, chainName, rpcUrls: [rpc], nativeCurrency }],
      });
    }
    await this.look();
  }

  private async go(): Promise<void> {
    // The account may have been changed while the page stood open.
    if (this.chosen) this.account = await accountOf(this.chosen.provider);
    if (!(await this.look()) || !this.chosen || !this.account) return;
    this.say("signing", "info");
    this.submit(await perform(this.chosen.provider, this.account, this.task));
  }

  private submit(fields: Fields): void {
    const form = document.getElementById(this.root.dataset["form"] ?? "") as HTMLFormElement;
    for (const [name, value] of Object.entries(fields)) {
      const field = form.elements.namedItem(name);
      if (field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement) field.value = value;
    }
    this.say("sending", "info");
    this.part("go").hidden = true;
    form.requestSubmit();
  }

  /** One thing at a time, and every failure in words. */
  private async guard(act: () => Promise<unknown>): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    this.root.setAttribute("aria-busy", "true");
    try {
      await act();
    } catch (error) {
      if (error instanceof Refusal) this.tell(error.message || this.words("failed"), "bad", "");
      else this.say(troubleOf(error), "warn", detailOf(error));
    } finally {
      this.busy = false;
      this.root.removeAttribute("aria-busy");
    }
  }

  private say(name: string, tone: string, detail = ""): void {
    this.root.dataset["state"] = name;
    this.tell(this.words(name), tone, detail);
  }

  private tell(sentence: string, tone: string, detail: string): void {
    const notice = document.createElement("div");
    notice.className = `notice notice-${tone}`;
    const body = document.createElement("div");
    body.className = "notice-body";
    const text = document.createElement("p");
    text.textContent = sentence;
    body.append(text);
    if (detail) {
      const small = document.createElement("p");
      small.className = "code-note";
      small.textContent = detail;
      body.append(small);
    }
    notice.append(body);
    this.part("notice").replaceChildren(notice);
  }
}
