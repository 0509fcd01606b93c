import assert from "node:assert/strict";
import { test } from "node:test";
import { FILES, STACK_END } from "./files.js";
import type { Desk } from "./harness/desk.js";
import { until } from "./harness/until.js";

/** Opens a file at the empty body of its last method and types the indentation, which asks for a suggestion. */
export async function askAt(desk: Desk, name: string): Promise<string> {
  const { workbench } = desk;
  await workbench.openFile(name, STACK_END.line, STACK_END.column);
  return await workbench.ask("        ");
}

/** What the suggestion is about to be put behind. */
function typed(name: string): string {
  return `${FILES[name] ?? ""}        `;
}

export function ghostText(desk: () => Desk): void {
  test("ghost text appears as one types, and Tab takes exactly what was shown", async () => {
    const { workbench } = desk();
    const shown = await askAt(desk(), "tab.py");
    await desk().picture("ghost-text", 300);
    await workbench.press("Tab");
    const text = await workbench.saved("tab.py");
    assert.ok(text.startsWith(typed("tab.py")), text);
    assert.equal(squeezed(text.slice(typed("tab.py").length)), squeezed(shown));
  });

  test("Ctrl+Right takes the first word, and the rest stays", async () => {
    const { workbench } = desk();
    const shown = await askAt(desk(), "word.py");
    await workbench.press("Control+ArrowRight");
    const text = await workbench.saved("word.py");
    const taken = text.slice(typed("word.py").length).trimEnd();
    assert.ok(taken.length > 0 && taken.length < shown.length && shown.startsWith(taken), `took "${taken}" of "${shown}"`);
    assert.match(taken, /^\W*\w+\W*$/);
    const rest = await workbench.waitForGhostText();
    assert.ok(shown.endsWith(rest.trim()), `left "${rest}" of "${shown}"`);
  });

  test("Alt+L takes the first line", async () => {
    const { workbench } = desk();
    const shown = await askAt(desk(), "line.py");
    await workbench.press("Alt+l");
    const text = await workbench.saved("line.py");
    assert.equal(text.slice(typed("line.py").length).trim(), shown.split("\n")[0]?.trim());
  });

  test("Alt+] shows another suggestion, and Alt+[ the one before", async () => {
    const { workbench } = desk();
    const first = await askAt(desk(), "cycle.py");
    await workbench.press("Alt+BracketRight");
    const second = await until(
      "another suggestion",
      async () => {
        const now = await workbench.waitForGhostText();
        if (now === first) {
          await workbench.press("Alt+BracketRight"); // the alternatives are fetched by the first press
        }
        return now !== first && now;
      },
      120_000,
    );
    await workbench.press("Alt+BracketLeft");
    await until("a suggestion other than the second", async () => (await workbench.waitForGhostText()) !== second);
  });

  test("Escape drops the suggestion, and Tab then indents", async () => {
    const { workbench } = desk();
    await askAt(desk(), "escape.py");
    await workbench.press("Escape");
    await workbench.waitForNoGhostText();
    await workbench.press("Tab");
    assert.equal(await workbench.saved("escape.py"), `${typed("escape.py")}    `);
  });

  test("typing what the suggestion says keeps the rest of it", async () => {
    const { workbench } = desk();
    const shown = await askAt(desk(), "along.py");
    await workbench.type(shown.slice(0, 3));
    await until("the rest of the suggestion", async () => (await workbench.ghostText()) === shown.slice(3));
  });
}

/** Without the white space that the screen shows differently from the file. */
function squeezed(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}
