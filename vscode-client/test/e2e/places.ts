import assert from "node:assert/strict";
import { test } from "node:test";
import type { Desk } from "./harness/desk.js";

export function places(desk: () => Desk): void {
  test("a language that Remask does not know is left alone, and the status bar says so", async () => {
    const { workbench } = desk();
    await workbench.openFile("notes.txt", 1, 10);
    await workbench.waitForStatus(/does not know the language "plaintext"/);
    await workbench.type(" def total(");
    await workbench.page.waitForTimeout(2_000);
    assert.equal(await workbench.ghostText(), "");
    await workbench.saved("notes.txt");
  });

  test("an untitled buffer gets ghost text", async () => {
    const { workbench } = desk();
    await workbench.command("File: New Untitled Text File");
    await workbench.page.waitForSelector('.editor-instance .monaco-editor.focused[data-uri^="untitled:"]');
    await workbench.command("Change Language Mode");
    await workbench.page.getByPlaceholder("Select Language Mode").fill("Python"); // by keys it may end up in the buffer
    await workbench.page.locator('.quick-input-list .monaco-list-row[aria-label^="Python"]').first().click();
    await workbench.focusEditor();
    await workbench.type("def add(a, b):");
    await workbench.press("Enter");
    await workbench.ask("ret");
    await workbench.press("Escape");
    await workbench.command("View: Revert and Close Editor");
  });

  test("a notebook cell gets ghost text, and its magics are not called broken", async () => {
    const { workbench } = desk();
    await workbench.openFile("book.ipynb", 1, 1, false);
    const cell = workbench.page.locator(".notebookOverlay .cell .monaco-editor .view-lines").first();
    await cell.click();
    await workbench.page.waitForSelector(".notebookOverlay .cell .monaco-editor.focused");
    await workbench.press("Control+End");
    await workbench.ask(".");
    await workbench.page.waitForTimeout(2_000);
    assert.equal(await workbench.page.locator(".notebookOverlay .squiggly-error").count(), 0);
    await workbench.press("Escape");
    await workbench.command("File: Revert File");
  });
}
