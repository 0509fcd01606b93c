/**
 * Puts what the end-to-end tests need into `.tools/`: Node 24 and code-server, both from npm. Chromium is the system's.
 *
 * Run with `npm run tools`; it does nothing when `.tools/` already holds these versions. Needs some 900 MB of disk.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CODE_SERVER_VERSION, NODE_VERSION, codeServerFolder, nodeBinary, nodePackage, toolsFolder } from "./paths.mjs";

const wanted = JSON.stringify({ node: NODE_VERSION, codeServer: CODE_SERVER_VERSION });
const stamp = join(toolsFolder, "versions.json");

/** @param {string} folder @param {string[]} args @param {NodeJS.ProcessEnv} [env] */
function npm(folder, args, env = process.env) {
  console.log(`npm ${args.join(" ")}   (in ${folder})`);
  execFileSync("npm", [...args, "--no-audit", "--no-fund", "--loglevel=error"], { cwd: folder, env, stdio: "inherit" });
}

/** @param {string} name */
function freshFolder(name) {
  const folder = join(toolsFolder, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: `remask-tools-${name}`, private: true }));
  return folder;
}

if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) {
  console.log(`.tools has Node ${NODE_VERSION} and code-server ${CODE_SERVER_VERSION}`);
} else {
  rmSync(stamp, { force: true });
  npm(freshFolder("node"), ["install", `${nodePackage}@${NODE_VERSION}`]);
  const env = { ...process.env, PATH: `${join(nodeBinary, "..")}:${process.env.PATH ?? ""}` };
  // Install scripts compile native modules that a headless run does without.
  npm(freshFolder("code-server"), ["install", `code-server@${CODE_SERVER_VERSION}`, "--ignore-scripts"], env);
  const vscode = join(codeServerFolder, "lib", "vscode");
  npm(vscode, ["install", "--omit=dev", "--ignore-scripts"], env);
  npm(join(vscode, "extensions"), ["install", "--omit=dev", "--ignore-scripts"], env);
  try {
    // VS Code writes its logs with this one; without it the Output view stays empty. Needs a C++ compiler.
    npm(vscode, ["rebuild", "@vscode/spdlog", `--nodedir=${join(nodeBinary, "..", "..")}`], env);
  } catch {
    console.warn("no C++ compiler: the tests that read the log will be skipped");
  }
  writeFileSync(stamp, wanted);
  console.log(`.tools now has Node ${NODE_VERSION} and code-server ${CODE_SERVER_VERSION}`);
}
