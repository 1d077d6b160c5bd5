/** Loaded only by pages on which a person's own wallet signs. */
import { Panel } from "./wallet/panel";

for (const root of document.querySelectorAll<HTMLElement>("[data-wallet]")) new Panel(root).start();
