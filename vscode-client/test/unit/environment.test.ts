import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type * as vscode from "vscode";
import { setUp } from "../../src/environment.js";
import { calls } from "./vscode.js";

test("a setup that fails does not wait until its notification is dismissed: the server is started after it", async () => {
  const home = mkdtempSync(join(tmpdir(), "remask-"));
  const path = process.env.PATH;
  process.env.PATH = home; // no Python there
  try {
    const context = { globalStorageUri: { fsPath: home } } as unknown as vscode.ExtensionContext;
    const errors: string[] = [];
    const log = { info: () => undefined, error: (text: string) => errors.push(text) };
    await setUp(context, log as unknown as vscode.LogOutputChannel);
    assert.match(errors.join(), /needs Python 3\.11 or newer/);
    assert.deepEqual(
      calls.map(({ name, args }) => [name, args[0]]),
      [["showErrorMessage", errors[0]]],
    );
  } finally {
    process.env.PATH = path;
    rmSync(home, { recursive: true });
  }
});
