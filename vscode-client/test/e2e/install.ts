/**
 * From nothing: a clean VS Code, the .vsix that carries the server, no `remask` on PATH and no settings. One button sets
 * the server up in a private environment; then it completes. Minutes, and a package index, are needed.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import manifest from "../../package.json";
import { extensionFolder } from "../../scripts/paths.mjs";
import { FILES } from "./files.js";
import { askAt } from "./ghostText.js";
import { Desk } from "./harness/desk.js";
import { lacking } from "./harness/requirements.js";

const vsix = join(extensionFolder, "out", `remask-${manifest.version}-with-server.vsix`);
const skip = lacking() ?? (existsSync(vsix) ? false : `${vsix} is not built: run \`npm run package:with-server\``);

suite("installed from its .vsix alone", { skip }, () => {
  test("the extension sets its server up and completes, with no setting touched", async () => {
    const desk = await Desk.open({ files: FILES, serverOnPath: false, vsix });
    try {
      const { workbench } = desk;
      await workbench.openFile("item.py");
      const message = workbench.notification(/its server is not installed/);
      await message.locator(".monaco-button", { hasText: "Set Up the Server" }).click();
      await workbench.waitForStatus(/ready/, 900_000);
      assert.ok(desk.server.processes("lsp").length > 0);
      assert.notEqual(await askAt(desk, "tab.py"), "");
    } finally {
      await desk.close();
    }
  });
});
