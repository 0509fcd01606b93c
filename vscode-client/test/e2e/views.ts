import assert from "node:assert/strict";
import { test } from "node:test";
import { STACK_END } from "./files.js";
import type { Desk } from "./harness/desk.js";
import { succeeds, until } from "./harness/until.js";

export function views(desk: () => Desk): void {
  test("the denoising view plays a block from its first pass to the result", async () => {
    const { workbench } = desk();
    await workbench.openFile("denoise.py", STACK_END.line, STACK_END.column);
    await workbench.type("        ");
    await workbench.command("Remask: Show a Block Being Denoised");
    const view = await workbench.webview("#title");
    await view.locator("#title").filter({ hasText: /^\d+ of \d+: / }).waitFor();
    const frames = Number(await view.locator("#slider").getAttribute("max")) + 1;
    assert.ok(frames >= 2, `${String(frames)} frames`);
    await view.locator("#back").click(); // stops it
    await view.locator("#slider").fill(String(Math.floor(frames / 2)));
    await desk().picture("denoising", 400, ".part.editor");
    for (let step = Math.floor(frames / 2); step < frames - 1; step += 1) {
      await view.locator("#forth").click();
    }
    await until("the result", async () => (await view.locator("#title").textContent())?.endsWith("Result"));
    const shown = (await view.locator("#code .known").allTextContents()).join("");
    assert.notEqual(shown.trim(), "");
    await workbench.closeEditors();
  });

  test("a rewrite of the selection is previewed before it touches the file", async () => {
    const { server, workbench } = desk();
    const before = server.read("rewrite.py");
    const preview = workbench.page.locator('.pane-header:has-text("Refactor Preview"), .composite.title:has-text("Refactor Preview")');
    let tried = 0;
    // Not every degree finds other code that holds up, and which does differs with a processor's arithmetic.
    await until(
      "a rewrite in the preview",
      async () => {
        const degree = ["all of it", "half of it", "a little"][tried % 3] ?? "";
        tried += 1;
        await workbench.openFile("rewrite.py", 13, 9);
        await workbench.press("Shift+End");
        await workbench.command("Remask: Rewrite the Selection with Preview");
        const row = workbench.page.locator(".action-widget .monaco-list-row", { hasText: `Remask: rewrite ${degree}` });
        const previewed = await succeeds(async () => {
          await row.click({ timeout: 20_000 });
          await preview.first().waitFor({ timeout: 30_000 });
        });
        if (!previewed) {
          await workbench.press("Escape");
        }
        return previewed;
      },
      240_000,
    );
    assert.equal(server.read("rewrite.py"), before);
    const panel = workbench.page.locator(".part.panel");
    await panel.locator(".monaco-list-row", { hasText: "rewrite.py" }).locator(".edit-checkbox").click();
    await panel.locator(".monaco-button", { hasText: "Apply" }).click();
    await until(
      "the rewrite in the file",
      async () => {
        await workbench.openFile("rewrite.py", 1, 1);
        return (await workbench.saved("rewrite.py")) !== before;
      },
      120_000,
    );
  });
}
