/** Finds a server that runs: asks each place in turn for its version. */
import { execFile } from "node:child_process";
import { statSync } from "node:fs";
import { homedir } from "node:os";
import * as vscode from "vscode";
import { type Candidate, type Facts, places, versionIn } from "./discovery.js";
import type { PythonExtension } from "./pythonExtension.js";
import { ownSettings } from "./settings.js";

// A cold Python on a busy machine takes seconds to start.
const PROBE_TIMEOUT_MS = 60_000;

/** A server that answered, or why there is none. */
export type Found =
  | { readonly kind: "found"; readonly candidate: Candidate; readonly version: string }
  | { readonly kind: "missing"; readonly tried: readonly string[] }
  | { readonly kind: "problem"; readonly message: string };

/** Looks for a server and logs what it tried. `home` is a folder of ours: nothing is run inside a workspace. */
export async function findServer(
  privateEnvironment: string,
  home: string,
  python: PythonExtension,
  log: vscode.LogOutputChannel,
): Promise<Found> {
  const own = ownSettings();
  const trusted = vscode.workspace.isTrusted;
  const facts: Facts = {
    platform: process.platform,
    path: process.env.PATH ?? "",
    home: homedir(),
    serverPath: own.serverPath,
    interpreter: own.interpreter,
    trusted,
    workspaceFolders: (vscode.workspace.workspaceFolders ?? [])
      .filter(({ uri }) => uri.scheme === "file")
      .map(({ uri }) => uri.fsPath),
    activeInterpreter: trusted ? await python.interpreter() : undefined,
    privateEnvironment,
    isFile,
  };
  if (!trusted) {
    log.info("This workspace is not trusted: its Python environments are left alone.");
  }
  const found = places(facts);
  if ("problem" in found) {
    return { kind: "problem", message: found.problem };
  }
  const tried: string[] = [];
  for (const candidate of found.candidates) {
    const line = [candidate.command, ...candidate.args].join(" ");
    const answer = await run(candidate.command, [...candidate.args, "--version"], home);
    const version = versionIn(answer.output);
    if (version !== null) {
      log.info(`Server: ${line} (remask ${version}), from ${candidate.origin}`);
      return { kind: "found", candidate, version };
    }
    const why = [answer.output.trim().split("\n").at(-1), answer.failure, "it said nothing"].find(Boolean);
    log.info(`No server: ${line}, from ${candidate.origin}: ${String(why)}`);
    tried.push(`${line} (${candidate.origin})`);
  }
  if (own.serverPath !== "" || own.interpreter !== "") {
    return { kind: "problem", message: `${tried.join("")} does not run Remask. The log says what it answered.` };
  }
  return { kind: "missing", tried };
}

/** Runs a program outside any workspace; `output` is both of its streams. */
export function run(
  command: string,
  args: readonly string[],
  cwd: string,
  timeout = PROBE_TIMEOUT_MS,
): Promise<{ output: string; failure: string | null }> {
  return new Promise((resolve) => {
    execFile(command, args, { cwd, timeout, windowsHide: true, maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      resolve({ output: `${stdout}\n${stderr}`, failure: error ? error.message : null });
    });
  });
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false; // a folder that may not be read, or a file where the path has a folder, is no reason to stop looking
  }
}
