/** Where things are: the extension, the tools of its tests, and the repository around it. */
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const NODE_VERSION = "24.21.0";
export const CODE_SERVER_VERSION = "4.139.1";

// Walks up, for the tests bundle this module into `out/`.
let folder = dirname(fileURLToPath(import.meta.url));
while (!existsSync(join(folder, "package.json"))) {
  folder = dirname(folder);
}
export const extensionFolder = folder;
export const repositoryFolder = dirname(extensionFolder);
export const toolsFolder = join(extensionFolder, ".tools");
export const nodePackage = `node-${process.platform}-${process.arch}`;
export const nodeBinary = join(toolsFolder, "node", "node_modules", nodePackage, "bin", "node");
export const codeServerFolder = join(toolsFolder, "code-server", "node_modules", "code-server");
export const codeServerEntry = join(codeServerFolder, "out", "node", "entry.js");

/** The first of these programs that PATH has, or null. @param {string[]} names @returns {string | null} */
export function findProgram(names) {
  for (const folder of (process.env.PATH ?? "").split(delimiter).filter(Boolean)) {
    for (const name of names) {
      const file = join(folder, name);
      try {
        accessSync(file, constants.X_OK);
        return file;
      } catch {
        continue;
      }
    }
  }
  return null;
}

/** A Chromium for the tests: `REMASK_CHROMIUM`, or one on PATH; null when there is none. @returns {string | null} */
export function findChromium() {
  return process.env.REMASK_CHROMIUM ?? findProgram(["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]);
}

/** A Python that has the `remask` package: `REMASK_PYTHON`, the checkout's environment, or PATH. @returns {string} */
export function findPython() {
  const own = join(repositoryFolder, ".venv", "bin", "python");
  try {
    accessSync(own, constants.X_OK);
    return process.env.REMASK_PYTHON ?? own;
  } catch {
    return process.env.REMASK_PYTHON ?? findProgram(["python3", "python"]) ?? "python3";
  }
}
