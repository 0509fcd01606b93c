/** Bundles the extension into `dist/extension.js`, beside the licences of what the bundle holds. */
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { extensionFolder } from "./paths.mjs";

const { metafile } = await build({
  absWorkingDir: extensionFolder,
  entryPoints: ["src/extension.ts"],
  outfile: join(extensionFolder, "dist", "extension.js"),
  bundle: true,
  minify: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  mainFields: ["module", "main"],
  external: ["vscode"],
  metafile: true,
  logLevel: "warning",
});

const packages = new Set(
  Object.keys(metafile.inputs).flatMap((input) => /^node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []),
);
const notices = [...packages].sort().map((folder) => {
  const { name, version } = JSON.parse(readFileSync(join(extensionFolder, folder, "package.json"), "utf8"));
  const licence = readdirSync(join(extensionFolder, folder)).find((file) => /^licen[cs]e/i.test(file));
  if (licence === undefined) {
    throw new Error(`${name} is bundled but has no licence file`);
  }
  return `${name} ${version}\n\n${readFileSync(join(extensionFolder, folder, licence), "utf8").trim()}\n`;
});
writeFileSync(join(extensionFolder, "dist", "ThirdPartyNotices.txt"), notices.join(`\n${"-".repeat(80)}\n\n`));
