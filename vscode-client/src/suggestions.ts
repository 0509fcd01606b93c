/** Follows the suggestions on screen: times them in the log, and tells the server when a part of one was taken. */
import * as vscode from "vscode";
import type { Listener } from "./middleware.js";
import { type Shown, partlyAccepted } from "./partial.js";
import { PARTLY_ACCEPTED } from "./protocol.js";

export class Suggestions implements Listener, vscode.Disposable {
  readonly #subscription: vscode.Disposable;
  #shown: { readonly uri: string; readonly items: readonly (Shown & { readonly arguments: readonly unknown[] })[] } | undefined;

  constructor(
    private readonly log: vscode.LogOutputChannel,
    private readonly execute: (command: string, ...args: unknown[]) => Promise<unknown>,
  ) {
    this.#subscription = vscode.workspace.onDidChangeTextDocument((event) => {
      this.#follow(event);
    });
  }

  suggested(document: vscode.TextDocument, items: readonly vscode.InlineCompletionItem[], elapsedMs: number): void {
    this.log.debug(`suggestions: ${String(items.length)} in ${elapsedMs.toFixed(1)} ms`);
    this.#shown = {
      uri: document.uri.toString(),
      items: items.flatMap(({ insertText, range, command }) => {
        if (range === undefined || typeof insertText !== "string") {
          return [];
        }
        // What lies before the cursor is part of the item's text already; what is to come starts behind it.
        const typed = document.getText(new vscode.Range(range.start, range.end));
        const kept = commonPrefix(insertText, typed);
        return [{ text: insertText.slice(kept), line: range.start.line, character: range.start.character + kept, arguments: command?.arguments ?? [] }];
      }),
    };
  }

  accepted(): void {
    this.#shown = undefined;
    void vscode.commands.executeCommand("setContext", "remask.accepted", true);
  }

  dispose(): void {
    this.#subscription.dispose();
  }

  #follow({ document, contentChanges }: vscode.TextDocumentChangeEvent): void {
    const [change] = contentChanges;
    const shown = this.#shown;
    if (change === undefined || contentChanges.length !== 1 || shown?.uri !== document.uri.toString()) {
      return;
    }
    this.#shown = undefined; // the next answer is on its way
    for (const item of shown.items) {
      const { line, character } = change.range.start;
      const taken = partlyAccepted(item, { text: change.text, line, character, removed: change.rangeLength });
      if (taken > 0) {
        void this.execute(PARTLY_ACCEPTED, ...item.arguments, taken).catch((error: unknown) => {
          this.log.warn(String(error));
        });
        return;
      }
    }
  }
}

function commonPrefix(a: string, b: string): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) {
    length += 1;
  }
  return length;
}
