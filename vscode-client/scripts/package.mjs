/**
 * Builds `out/remask-<version>.vsix`. With `--with-server` the Python package is built and put inside as well, so that
 * the extension can set its server up by itself (`out/remask-<version>-with-server.vsix`, some 100 MB for the weights).
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { extensionFolder, findPython, repositoryFolder } from "./paths.mjs";

const withServer = process.argv.includes("--with-server");
const { version } = JSON.parse(readFileSync(join(extensionFolder, "package.json"), "utf8"));
const shipped = join(extensionFolder, "server");
const target = join(extensionFolder, "out", `remask-${version}${withServer ? "-with-server" : ""}.vsix`);

/** @param {string} command @param {string[]} args */
const run = (command, args) => execFileSync(command, args, { cwd: extensionFolder, stdio: "inherit" });

run(process.execPath, ["scripts/build.mjs"]);
copyFileSync(join(repositoryFolder, "LICENSE"), join(extensionFolder, "LICENSE"));
rmSync(shipped, { recursive: true, force: true });
mkdirSync(join(extensionFolder, "out"), { recursive: true });
try {
  if (withServer) {
    run(findPython(), ["-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "-w", shipped, repositoryFolder]);
  }
  const vsce = join(extensionFolder, "node_modules", "@vscode", "vsce", "vsce");
  run(process.execPath, [vsce, "package", "--no-dependencies", "--allow-missing-repository", "--out", target]);
} finally {
  rmSync(shipped, { recursive: true, force: true });
}
console.log(`${relative(process.cwd(), target)}: ${(statSync(target).size / 1024).toFixed(0)} kB`);
