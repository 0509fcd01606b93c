import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { findPython } from "../../scripts/paths.mjs";
import { BROKEN } from "./files.js";
import type { Desk } from "./harness/desk.js";
import { succeeds, until } from "./harness/until.js";

/** Whether Python itself reads this text. */
function parses(text: string): boolean {
  try {
    execFileSync(findPython(), ["-c", "import ast, sys; ast.parse(sys.stdin.read())"], { input: text, stdio: ["pipe", "ignore", "ignore"] });
    return true;
  } catch {
    return false;
  }
}

export function repair(desk: () => Desk): void {
  test("a missing colon is marked, and Ctrl+. puts it in and touches nothing else", async () => {
    const { workbench } = desk();
    assert.equal(parses(BROKEN), false);
    await workbench.openFile("quickfix.py", 4, 20);
    await workbench.page.waitForSelector(".squiggly-error");
    const fix = workbench.page.locator(".action-widget .monaco-list-row", { hasText: "Remask" }).first();
    await until(
      "a quick fix in the menu",
      async () => {
        await workbench.press("Control+.");
        const taken = await succeeds(async () => {
          await fix.waitFor({ timeout: 5_000 });
          await desk().picture("quick-fix", 300);
          await fix.click({ timeout: 5_000 });
        });
        if (!taken) {
          await workbench.press("Escape"); // not computed yet
        }
        return taken;
      },
      120_000,
    );
    const fixed = await until(
      "the fix",
      async () => {
        const text = await workbench.saved("quickfix.py");
        return text !== BROKEN && text;
      },
      120_000,
    );
    assert.equal(fixed, BROKEN.replace("def load_cart(path)\n", "def load_cart(path):\n"));
  });

  test("Fix All mends the whole file, and the marks go", async () => {
    const { workbench } = desk();
    await workbench.openFile("fixall.py", 1, 1);
    await workbench.page.waitForSelector(".squiggly-error");
    const fixed = await until(
      "a file that parses",
      async () => {
        await workbench.command("Remask: Fix All Problems in This File");
        await workbench.focusEditor();
        const text = await workbench.saved("fixall.py");
        return parses(text) && text;
      },
      180_000,
    );
    assert.match(fixed, /def load_cart\(path\):\n/);
    await workbench.page.waitForSelector(".squiggly-error", { state: "detached" });
  });

  test("a file that parses has no marks", async () => {
    const { workbench } = desk();
    await workbench.openFile("item.py", 1, 1);
    await workbench.waitForStatus(/ready/);
    await workbench.page.waitForTimeout(3_000);
    assert.equal(await workbench.page.locator(".editor-instance .squiggly-error").count(), 0);
  });
}
