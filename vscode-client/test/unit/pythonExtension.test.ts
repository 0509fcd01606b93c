import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import type * as vscode from "vscode";
import { PythonExtension } from "../../src/pythonExtension.js";
import { EventEmitter, extensions } from "./vscode.js";

const SILENT = { warn: () => undefined } as unknown as vscode.LogOutputChannel;

/** The Python extension's API, with this interpreter chosen. */
function api(path: string, chosen = new EventEmitter<unknown>()): unknown {
  return {
    environments: {
      getActiveEnvironmentPath: () => ({ path }),
      resolveEnvironment: () => Promise.resolve({ executable: { uri: { fsPath: path } } }),
      onDidChangeActiveEnvironmentPath: chosen.event,
    },
  };
}

afterEach(() => {
  extensions.other = undefined;
});

test("without the extension there is no interpreter, and a failing one is no failure of ours", async () => {
  const python = new PythonExtension(SILENT);
  assert.equal(await python.interpreter(), undefined);
  extensions.other = { activate: () => Promise.reject(new Error("broken")) };
  assert.equal(await python.interpreter(), undefined);
});

test("another choice is told, once, however often the interpreter was asked for", async () => {
  const chosen = new EventEmitter<unknown>();
  extensions.other = { activate: () => Promise.resolve(api("/opt/py/bin/python", chosen)) };
  const python = new PythonExtension(SILENT);
  let changes = 0;
  python.onChange(() => (changes += 1));
  assert.equal(await python.interpreter(), "/opt/py/bin/python");
  assert.equal(await python.interpreter(), "/opt/py/bin/python");
  chosen.fire({});
  assert.equal(changes, 1);
  python.dispose();
  chosen.fire({});
  assert.equal(changes, 1);
});

test("an extension that hangs does not hold up the search; when it comes at last, that is told", async () => {
  let wake: (api: unknown) => void = () => undefined;
  const slow = new Promise<unknown>((resolve) => {
    wake = resolve;
  });
  extensions.other = { activate: () => slow };
  const python = new PythonExtension(SILENT, 20);
  assert.equal(await python.interpreter(), undefined);
  const told = new Promise<void>((resolve) => {
    python.onChange(resolve);
  });
  wake(api("/opt/py/bin/python"));
  await told;
  assert.equal(await python.interpreter(), "/opt/py/bin/python");
});

test("one that is slow each time is told once, and then taken from memory: no search after search", async () => {
  const slow = (): Promise<unknown> =>
    new Promise((resolve) => {
      setTimeout(resolve, 60, api("/opt/py/bin/python"));
    });
  extensions.other = { activate: slow };
  const python = new PythonExtension(SILENT, 20);
  let changes = 0;
  python.onChange(() => (changes += 1));
  assert.equal(await python.interpreter(), undefined);
  await slow();
  assert.equal(changes, 1);
  assert.equal(await python.interpreter(), "/opt/py/bin/python");
  await slow();
  assert.equal(changes, 1);
});
