/** The status bar item. */
import * as vscode from "vscode";
import { LANGUAGES, SCHEMES } from "./languages.js";
import type { Pauses } from "./pauses.js";
import type { Server } from "./server.js";
import { look } from "./statusText.js";

// A completion takes a tenth of a second: an icon that changes for each would flicker.
const THINKING_SHOWS_AFTER_MS = 400;

/** Language of the active editor; null in the Output view and the like, which are editors to VS Code too. */
function languageInView(): string | null {
  const document = vscode.window.activeTextEditor?.document;
  return document !== undefined && SCHEMES.includes(document.uri.scheme) ? document.languageId : null;
}

export class StatusItem implements vscode.Disposable {
  readonly #item = vscode.window.createStatusBarItem("remask.status", vscode.StatusBarAlignment.Right, 100);
  readonly #subscriptions: readonly { dispose(): unknown }[];
  #pending: NodeJS.Timeout | undefined;

  constructor(
    private readonly server: Server,
    private readonly pauses: Pauses,
  ) {
    this.#item.name = "Remask";
    this.#item.command = "remask.ui.menu";
    this.#subscriptions = [
      this.#item,
      server.onStatus(({ state }) => {
        clearTimeout(this.#pending);
        if (state === "thinking") {
          this.#pending = setTimeout(() => {
            this.draw();
          }, THINKING_SHOWS_AFTER_MS);
        } else {
          this.draw();
        }
      }),
      vscode.window.onDidChangeActiveTextEditor(() => {
        this.draw();
      }),
      vscode.workspace.onDidGrantWorkspaceTrust(() => {
        this.draw();
      }),
    ];
    this.draw();
    this.#item.show();
  }

  draw(): void {
    const shown = look({
      status: this.server.status,
      languageId: languageInView(),
      known: LANGUAGES,
      pausedEverywhere: this.pauses.everything,
      pausedLanguages: this.pauses.languages,
      trusted: vscode.workspace.isTrusted,
    });
    this.#item.text = shown.text;
    this.#item.accessibilityInformation = { label: shown.label, role: "button" };
    this.#item.tooltip = new vscode.MarkdownString(shown.hover);
    this.#item.backgroundColor =
      shown.tone === "plain" ? undefined : new vscode.ThemeColor(`statusBarItem.${shown.tone}Background`);
  }

  dispose(): void {
    clearTimeout(this.#pending);
    for (const subscription of this.#subscriptions) {
      subscription.dispose();
    }
  }
}
