import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type * as vscode from "vscode";
import { setUp } from "../../src/environment.js";
import { calls, window, workspace } from "./vscode.js";

/** A machine whose only Python answers `-m venv` with this script; what was called of VS Code, and the log's errors. */
async function setUpWith(script: string, home: string): Promise<{ called: typeof calls; errors: string[] }> {
  const path = process.env.PATH;
  const programs = mkdtempSync(join(tmpdir(), "remask-"));
  writeFileSync(
    join(programs, "python3"),
    `#!/bin/sh\nif [ "$1" = --version ]; then echo Python 3.12.3; exit; fi\nhome="${home}"\n${script}\n`,
    { mode: 0o755 },
  );
  process.env.PATH = `${programs}:/usr/bin:/bin`;
  const errors: string[] = [];
  const log = { info: () => undefined, warn: () => undefined, error: (text: string) => errors.push(text) };
  const context = { globalStorageUri: { fsPath: home }, extensionUri: { fsPath: home } };
  calls.length = 0;
  try {
    await setUp(context as unknown as vscode.ExtensionContext, log as unknown as vscode.LogOutputChannel);
    return { called: [...calls], errors };
  } finally {
    process.env.PATH = path;
    workspace.settings = {};
    rmSync(programs, { recursive: true });
  }
}

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

test("before an environment is made anew its engine is stopped; one that cannot be made leaves nothing and says why", async () => {
  const home = mkdtempSync(join(tmpdir(), "remask-"));
  try {
    const old = join(home, "environment", "bin");
    mkdirSync(old, { recursive: true });
    writeFileSync(join(old, "python"), `#!/bin/sh\necho "$@" >> "${home}/stopped"\n`, { mode: 0o755 });
    workspace.settings = { "remask.server.package": "remask" };
    const venv = 'ls "$home" > "$home/there"; mkdir "$3"; printf "ensurepip is not\\navailable\\n\\n    apt install python3.12-venv\\n"; exit 1';
    const { errors } = await setUpWith(venv, home);
    assert.equal(readFileSync(join(home, "stopped"), "utf8"), "-P -m engine.cli.main engine --stop\n");
    assert.doesNotMatch(readFileSync(join(home, "there"), "utf8"), /environment/);
    assert.match(errors.join(), /could not set up its server: .*`sudo apt install python3\.12-venv`/);
    assert.equal(existsSync(join(home, "environment")), false);
  } finally {
    rmSync(home, { recursive: true });
  }
});

test("the package is asked for by kind first: a dialog for files and folders shows folders alone on Windows and Linux", async () => {
  const home = mkdtempSync(join(tmpdir(), "remask-"));
  try {
    for (const [label, folders] of [["A wheel (.whl)", false], ["A folder of sources", true]] as const) {
      window.picks = [label];
      const { called } = await setUpWith("exit 1", home);
      assert.deepEqual(called.map(({ name }) => name), ["showQuickPick", "showOpenDialog"]);
      const [options] = called[1]?.args as [vscode.OpenDialogOptions];
      assert.deepEqual([options.canSelectFiles, options.canSelectFolders], [!folders, folders]);
    }
    const { called } = await setUpWith("exit 1", home);
    assert.deepEqual(called.map(({ name }) => name), ["showQuickPick"], "who picks nothing is asked no more");
  } finally {
    rmSync(home, { recursive: true });
  }
});
