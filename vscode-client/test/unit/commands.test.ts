import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type Parts, registerCommands } from "../../src/commands.js";
import type { Status } from "../../src/statusText.js";
import { commands } from "./vscode.js";

test("a setup that runs is not begun again: whoever asks for another waits for it", async () => {
  const home = mkdtempSync(join(tmpdir(), "remask-"));
  const path = process.env.PATH;
  process.env.PATH = home; // no Python there: it ends soon
  try {
    const did: string[] = [];
    const server = {
      stop: ({ state }: Status): Promise<void> => {
        did.push(`stop: ${state}`);
        return Promise.resolve();
      },
      restart: (): Promise<void> => {
        did.push("restart");
        return Promise.resolve();
      },
    };
    const log = { info: () => undefined, error: () => undefined };
    const context = { globalStorageUri: { fsPath: home } };
    registerCommands({ context, log, server } as unknown as Parts);
    const setUp = commands.registered.get("remask.ui.setUp");
    assert.ok(setUp);
    await Promise.all([setUp(), setUp()]);
    assert.deepEqual(did, ["stop: starting", "restart"]);
    await setUp();
    assert.equal(did.length, 4, "afterwards there may be another");
  } finally {
    process.env.PATH = path;
    rmSync(home, { recursive: true });
  }
});

test("a setup that fails outright leaves the server started, not being set up", async () => {
  const home = mkdtempSync(join(tmpdir(), "remask-"));
  try {
    writeFileSync(join(home, "file"), "");
    const did: string[] = [];
    const noted = (what: string) => (): Promise<void> => {
      did.push(what);
      return Promise.resolve();
    };
    const log = { info: () => undefined, error: () => undefined };
    const context = { globalStorageUri: { fsPath: join(home, "file", "storage") } };
    registerCommands({ context, log, server: { stop: noted("stop"), restart: noted("restart") } } as unknown as Parts);
    await commands.registered.get("remask.ui.setUp")?.();
    assert.deepEqual(did, ["stop", "restart"]);
  } finally {
    rmSync(home, { recursive: true });
  }
});
