import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import type * as vscode from "vscode";
import type { Listener } from "../../src/middleware.js";
import type { PythonExtension } from "../../src/pythonExtension.js";
import { Server } from "../../src/server.js";
import { LanguageClient } from "./languageClient.js";
import { workspace } from "./vscode.js";

const root = mkdtempSync(join(tmpdir(), "remask-"));
const folder = join(root, "shop");
const path = process.env.PATH;
process.env.PATH = "";
after(() => {
  process.env.PATH = path;
  rmSync(root, { recursive: true });
});

const SILENT = { info: () => undefined, warn: () => undefined, error: () => undefined } as unknown as vscode.LogOutputChannel;

function server(home: string, interpreter: () => Promise<undefined> = () => Promise.resolve(undefined)): Server {
  return new Server(join(root, "environment"), home, { interpreter } as unknown as PythonExtension, SILENT, {} as Listener);
}

/** Puts a program into the folder's environment that says it is Remask's. */
function install(): void {
  mkdirSync(join(folder, ".venv", "bin"), { recursive: true });
  writeFileSync(join(folder, ".venv", "bin", "remask"), "#!/bin/sh\necho remask 0.1.0\n", { mode: 0o755 });
}

beforeEach(() => {
  LanguageClient.started = 0;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  workspace.workspaceFolders = [{ uri: { scheme: "file", fsPath: folder } }];
});

test("a file where an environment's folder would be is passed over", async () => {
  for (const name of [".venv", "venv", "env"]) {
    writeFileSync(join(folder, name), "SHOP=1\n");
  }
  const found = server(join(root, "home"));
  await found.restart();
  assert.equal(found.status.state, "missing");
  rmSync(join(folder, ".venv"));
  install();
  await found.restart();
  assert.equal(found.status.state, "loading");
});

test("a search that fails is said, and does not leave the server starting for ever", async () => {
  const silent = server(join(root, "home"), () => Promise.reject(new Error("no such thing")));
  await silent.restart();
  assert.equal(silent.status.state, "error");
  assert.match(silent.status.message ?? "", /could not be looked for: Error: no such thing/);
  writeFileSync(join(root, "file"), "");
  const homeless = server(join(root, "file", "home"));
  await homeless.restart();
  assert.match(homeless.status.message ?? "", /ENOTDIR/);
});

test("it looks again only after a search in vain", async () => {
  const found = server(join(root, "home"));
  await found.lookAgain();
  assert.equal(found.status.state, "starting", "nobody has started it");
  await found.restart();
  assert.equal(found.status.state, "missing");
  install();
  await found.stop({ state: "starting", message: "setting up the server" });
  await found.lookAgain();
  assert.equal(LanguageClient.started, 0, "what is being set up is not started in between");
  rmSync(join(folder, ".venv"), { recursive: true });
  await found.restart();
  install();
  await Promise.all([found.lookAgain(), found.lookAgain()]);
  assert.equal(found.running, true);
  assert.equal(LanguageClient.started, 1);
});
