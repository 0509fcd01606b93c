/** Where there is no server, and where there must not be one. Each test has a VS Code of its own. */
import assert from "node:assert/strict";
import { chmodSync, existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Desk } from "./harness/desk.js";
import { succeeds, until } from "./harness/until.js";

const CODE = { "item.py": "class Item:\n    pass\n" };

export function missing(): void {
  test("with no server installed, a message says what is missing and what to do", async () => {
    const notAFolder = { env: "SHOP=1\n" }; // where an environment is looked for
    const desk = await Desk.open({ files: { ...CODE, ...notAFolder }, serverOnPath: false });
    try {
      const { workbench } = desk;
      await workbench.openFile("item.py");
      const message = workbench.notification(/its server is not installed/);
      await message.waitFor({ timeout: 180_000 });
      assert.equal(await message.locator(".monaco-button", { hasText: "Set Up the Server" }).count(), 1);
      await workbench.waitForStatus(/no server found/);
      assert.equal(await workbench.page.locator(".monaco-dialog-box").count(), 0);
      await workbench.focusEditor();
    } finally {
      await desk.close();
    }
  });

  test("an untrusted folder's environment is not run; once trusted, it is", async () => {
    const files = { ...CODE, ".venv/bin/remask": '#!/bin/sh\ntouch "$(dirname "$0")/ran"\necho remask 9.9.9\n' };
    const desk = await Desk.open({ files, serverOnPath: false, asksForTrust: true });
    try {
      const { server, workbench } = desk;
      const program = join(server.workspace, ".venv", "bin", "remask");
      chmodSync(program, 0o755);
      const ran = join(server.workspace, ".venv", "bin", "ran");
      await workbench.openFile("item.py");
      await workbench.waitForStatus(/no server found/);
      assert.equal(existsSync(ran), false);
      await workbench.command("Workspaces: Manage Workspace Trust");
      const trust = workbench.page.locator(".workspace-trust-editor .monaco-button", { hasText: /^Trust/ }).first();
      await until(
        "the trusted environment to be tried",
        async () => {
          await succeeds(() => trust.click({ timeout: 2_000 })); // it is gone once it was heard
          return existsSync(ran);
        },
        180_000,
      );
    } finally {
      await desk.close();
    }
  });

  test("a setting that names no file is reported, and nothing else is run in its place", async () => {
    const settings = { "remask.server.path": "/nowhere/remask" };
    const desk = await Desk.open({ files: CODE, serverOnPath: true, settings });
    try {
      await desk.workbench.openFile("item.py");
      await desk.workbench.waitForStatus(/something is wrong/);
      assert.deepEqual(desk.server.processes("lsp"), []);
    } finally {
      await desk.close();
    }
  });
}
