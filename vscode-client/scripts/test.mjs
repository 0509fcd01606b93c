/** Bundles a suite and runs it: `unit`, `e2e`, `install` or `measure`. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { extensionFolder } from "./paths.mjs";

const [suite = "", ...flags] = process.argv.slice(2);
const tests = join(extensionFolder, "test");
const out = join(extensionFolder, "out", "test");

/** @type {Record<string, () => string[]>} */
const suites = {
  unit: () => readdirSync(join(tests, "unit")).filter((name) => name.endsWith(".test.ts")).map((name) => join(tests, "unit", name)),
  e2e: () => [join(tests, "e2e", "main.ts")],
  install: () => [join(tests, "e2e", "install.ts")],
  measure: () => [join(tests, "e2e", "measure.ts")],
};
const entryPoints = suites[suite]?.();
if (entryPoints === undefined) {
  console.error(`name a suite: ${Object.keys(suites).join(", ")}`);
  process.exit(2);
}
mkdirSync(out, { recursive: true });
const { metafile } = await build({
  absWorkingDir: extensionFolder,
  entryPoints,
  outdir: join(out, suite),
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  target: "node20",
  format: "esm",
  external: ["playwright-core"],
  // Only an extension host has the real one. Ours has what the tests call, and no more.
  alias:
    suite === "unit"
      ? { vscode: join(tests, "unit", "vscode.ts"), "vscode-languageclient/node": join(tests, "unit", "languageClient.ts") }
      : {},
  logOverride: { "import-is-undefined": "silent" },
  sourcemap: "inline",
  metafile: true,
  logLevel: "warning",
});
const files = Object.keys(metafile.outputs).filter((name) => name.endsWith(".mjs"));
const runner = suite === "measure" ? [] : ["--test", "--test-reporter=spec"];
const { status } = spawnSync(process.execPath, ["--enable-source-maps", ...runner, ...flags, ...files], {
  cwd: extensionFolder,
  stdio: "inherit",
});
process.exit(status ?? 1);
