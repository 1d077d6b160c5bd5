/** Everything a page does in the browser without a wallet: live parts, and buttons that cannot act twice. */
import htmx from "htmx.org";
import "./main.css";
import { startCopyButtons } from "./copy";
import { startCountdowns } from "./countdown";
import { startDialogs } from "./dialog";
import { startDocumentChecks } from "./document_hash";
import { startFileDrops } from "./file_drop";
import { startForms } from "./forms";
import { startLiveParts } from "./live";
import { startMenus } from "./menu";
import { startPasskeys } from "./passkeys";
import { startQueueKeys } from "./queue";
import { startThemeChoice } from "./theme";

declare global {
  interface Window {
    htmx: typeof htmx;
  }
}

window.htmx = htmx;
startLiveParts(htmx);
startForms();
startCopyButtons();
startCountdowns();
startDialogs();
startFileDrops();
startDocumentChecks();
startMenus();
startPasskeys();
startQueueKeys();
startThemeChoice();
