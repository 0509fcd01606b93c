/** What the client changes in the traffic between VS Code and the server. */
import * as vscode from "vscode";
import type { Middleware } from "vscode-languageclient/node";
import { NOTEBOOK_CELL } from "./languages.js";
import { ACCEPTED } from "./protocol.js";
import { withoutOwn } from "./settings.js";

/** What the middleware lets others know. */
export interface Listener {
  /** Suggestions are about to be shown at a place; `elapsedMs` is from VS Code's question to the server's answer. */
  suggested(document: vscode.TextDocument, items: readonly vscode.InlineCompletionItem[], elapsedMs: number): void;
  accepted(): void;
}

export function middleware(listener: Listener): Middleware {
  return {
    async provideInlineCompletionItems(document, position, context, token, next) {
      const asked = performance.now();
      const answer = await next(document, position, context, token);
      if (answer && !token.isCancellationRequested) {
        listener.suggested(document, "items" in answer ? answer.items : answer, performance.now() - asked);
      }
      return answer;
    },
    executeCommand(command, args, next) {
      if (command === ACCEPTED) {
        listener.accepted();
      }
      return next(command, args) as unknown;
    },
    // A cell may hold magics (`%matplotlib inline`), which are no Python: it gets ghost text, but is never "broken".
    handleDiagnostics(uri, diagnostics, next) {
      next(uri, uri.scheme === NOTEBOOK_CELL ? [] : diagnostics);
    },
    provideDiagnostics(document, previous, token, next) {
      const uri = document instanceof vscode.Uri ? document : document.uri;
      return uri.scheme === NOTEBOOK_CELL ? undefined : next(document, previous, token);
    },
    provideCodeActions(document, range, context, token, next) {
      return document.uri.scheme === NOTEBOOK_CELL ? [] : next(document, range, context, token);
    },
    workspace: {
      async configuration(params, token, next) {
        const answers: unknown = await next(params, token);
        if (!Array.isArray(answers)) {
          return answers as never;
        }
        return answers.map((answer: unknown, i) =>
          params.items[i]?.section === "remask" && typeof answer === "object" && answer !== null
            ? withoutOwn(answer as Record<string, unknown>)
            : answer,
        );
      },
    },
  };
}
