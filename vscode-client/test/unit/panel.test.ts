import assert from "node:assert/strict";
import { test } from "node:test";
import type * as vscode from "vscode";
import { DenoisingPanel } from "../../src/denoising/panel.js";
import type { Server } from "../../src/server.js";
import { window } from "./vscode.js";

interface Position {
  readonly line: number;
  readonly character: number;
}

/** A document as VS Code has it: a line that is not there is an error. */
class Document {
  readonly uri = "cart.py";

  constructor(public lines: string[]) {}

  lineAt(line: number): { text: string } {
    const text = this.lines[line];
    if (text === undefined) {
      throw new Error("Illegal value for `line`");
    }
    return { text };
  }

  validatePosition({ line, character }: Position): Position {
    const last = Math.min(line, this.lines.length - 1);
    const text = this.lines[last] ?? "";
    return { line: last, character: line > last ? text.length : Math.min(character, text.length) };
  }
}

test("again, after the line was deleted, denoises at what is left of the document", async () => {
  const document = new Document(["total = 0", "for item in "]);
  const asked: Position[] = [];
  const denoise = (_: unknown, position: Position): Promise<unknown> => {
    asked.push(position);
    return Promise.resolve({ steps: [], text: "" });
  };
  const panel = new DenoisingPanel({ denoise } as unknown as Server, "" as unknown as vscode.Uri);
  const selection = { active: { line: 1, character: 12 } };
  await panel.show({ document, selection } as unknown as vscode.TextEditor);
  document.lines = ["total"];
  const [view] = window.panels;
  view?.say({ kind: "again" });
  await new Promise(setImmediate);
  assert.deepEqual(asked, [
    { line: 1, character: 12 },
    { line: 0, character: 5 },
  ]);
  const { kind, place, before } = view?.posted.at(-1) as { kind: string; place: string; before: string };
  assert.deepEqual([kind, place, before], ["frames", "cart.py, line 1, column 6", "total"]);
});
