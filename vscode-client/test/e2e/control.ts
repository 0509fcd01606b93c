import assert from "node:assert/strict";
import { test } from "node:test";
import { STACK_END } from "./files.js";
import { askAt } from "./ghostText.js";
import type { Desk } from "./harness/desk.js";
import { succeeds, until } from "./harness/until.js";

const QUIET_MS = 3_000;

async function staysQuiet(desk: Desk, name: string): Promise<void> {
  const { workbench } = desk;
  await workbench.openFile(name, STACK_END.line, STACK_END.column);
  await workbench.type("        ");
  await workbench.page.waitForTimeout(QUIET_MS);
  assert.equal(await workbench.ghostText(), "");
}

export function control(desk: () => Desk): void {
  test("paused, nothing is suggested; resumed, it is again", async () => {
    const { workbench } = desk();
    await workbench.command("Remask: Pause");
    await workbench.waitForStatus(/paused/);
    await staysQuiet(desk(), "pause.py");
    await workbench.command("Remask: Resume");
    await workbench.waitForStatus(/ready/);
    await workbench.ask("r");
  });

  test("the menu behind the status bar pauses one language", async () => {
    const { workbench } = desk();
    await workbench.openFile("language.py", STACK_END.line, STACK_END.column);
    const entry = workbench.page.locator(".quick-input-list .monaco-list-row", { hasText: "Pause for python" });
    await until(
      "the menu's entry for Python",
      () =>
        succeeds(async () => {
          await workbench.statusItem.first().click({ timeout: 5_000 });
          await entry.click({ timeout: 10_000 });
        }),
      120_000,
    );
    await workbench.waitForStatus(/paused for python/);
    await staysQuiet(desk(), "language.py");
    await workbench.openFile("notes.txt");
    await workbench.waitForStatus(/does not know the language "plaintext"/);
    await workbench.openFile("language.py", STACK_END.line, STACK_END.column + 8);
    await workbench.command("Remask: Pause or Resume for This Language");
    await workbench.waitForStatus(/ready$/);
    await workbench.ask("r");
  });

  test("an engine that is killed comes back", async () => {
    const { server, workbench } = desk();
    const [old] = server.processes("engine.cli.main", "engine");
    assert.ok(old, "the engine's process");
    process.kill(old, "SIGKILL");
    await until("another engine", () => server.processes("engine.cli.main", "engine").some((pid) => pid !== old), 180_000);
    await workbench.waitForStatus(/ready/);
    await askAt(desk(), "engine.py");
  });

  test("a server that is killed is started again", async () => {
    const { server, workbench } = desk();
    const [old] = server.processes("lsp");
    assert.ok(old, "the server's process");
    process.kill(old, "SIGKILL");
    await workbench.waitForStatus(/being started again|starting the server|loading/);
    await workbench.waitForStatus(/ready/);
    await askAt(desk(), "server.py");
    assert.equal(server.processes("lsp").includes(old), false);
  });

  test("the doctor and the statistics answer in an editor", async () => {
    const { workbench } = desk();
    await workbench.openFile("item.py");
    await workbench.command("Remask: Show Statistics");
    await workbench.page.waitForSelector('.tab[data-resource-name="Remask statistics"]');
    await workbench.page.waitForSelector('.view-lines:has-text("engine")');
    await workbench.command("Remask: Run the Doctor");
    await workbench.page.waitForSelector('.tab[data-resource-name="Remask doctor"]', { timeout: 180_000 });
    await workbench.page.waitForSelector('.view-lines:has-text("device")');
    await workbench.closeEditors();
  });
}
