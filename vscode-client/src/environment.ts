/** The private environment: a virtual environment in the extension's own storage that holds the server. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import * as vscode from "vscode";
import { MODULE } from "./discovery.js";
import { run } from "./finder.js";
import { isRecentEnough, pythonNames, pythonVersion } from "./pythons.js";
import { ownSettings } from "./settings.js";
import { trouble } from "./setUpTrouble.js";

/** Where the private environment lies, made or not. */
export function privateEnvironment(context: vscode.ExtensionContext): string {
  return join(context.globalStorageUri.fsPath, "environment");
}

/** Makes the environment and installs the server into it, asking for the package if need be. Says what went wrong. */
export async function setUp(context: vscode.ExtensionContext, log: vscode.LogOutputChannel): Promise<void> {
  const home = context.globalStorageUri.fsPath;
  mkdirSync(home, { recursive: true });
  const python = await findPython(home, log);
  if (python === null) {
    complain(log, "Remask needs Python 3.11 or newer, and found none on PATH. Install one, then try again.");
    return;
  }
  const wanted = await packageToInstall(context);
  if (wanted === undefined) {
    return;
  }
  const environment = privateEnvironment(context);
  const program = join(environment, process.platform === "win32" ? "Scripts\\python.exe" : "bin/python");
  const title = "Remask: setting up the server";
  try {
    await vscode.window.withProgress(
      { location: vscode.ProgressLocation.Notification, title, cancellable: true },
      async (progress, token) => {
        progress.report({ message: "making a private environment" });
        await stopEngine(program, home, log);
        await remove(environment);
        await logged(python, ["-m", "venv", environment], home, log, token);
        progress.report({ message: "installing (about 300 MB)" });
        const install = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", wanted];
        await logged([program], install, home, log, token, (line) => {
          if (/^(Collecting|Downloading|Installing|Building)/.test(line)) {
            progress.report({ message: line.slice(0, 60) });
          }
        });
      },
    );
  } catch (error) {
    await remove(environment).catch((left: unknown) => {
      log.warn(String(left));
    });
    if (!(error instanceof vscode.CancellationError)) {
      complain(log, `Remask could not set up its server: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

/** The engine outlives its server, and on Windows what it runs from cannot be removed. A new server starts another. */
async function stopEngine(program: string, home: string, log: vscode.LogOutputChannel): Promise<void> {
  if (existsSync(program)) {
    const { output, failure } = await run(program, [...MODULE, "engine", "--stop"], home);
    log.info(`The old environment's engine: ${failure ?? output.trim()}`);
  }
}

/** Removes an environment; rejects when something still holds its files after a while. */
async function remove(environment: string): Promise<void> {
  try {
    await rm(environment, { recursive: true, force: true, maxRetries: 8, retryDelay: 200 });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`the old environment cannot be removed, perhaps because another window uses it (${why})`, { cause: error });
  }
}

async function findPython(home: string, log: vscode.LogOutputChannel): Promise<readonly string[] | null> {
  for (const name of pythonNames(process.platform)) {
    const [command = "", ...args] = name;
    const { output } = await run(command, [...args, "--version"], home);
    const version = pythonVersion(output);
    if (version !== null) {
      log.info(`Python ${version.join(".")}: ${name.join(" ")}`);
      if (isRecentEnough(version)) {
        return name;
      }
    }
  }
  return null;
}

/** What pip is given: the setting, the wheel that came with the extension, or what the person picks. */
async function packageToInstall(context: vscode.ExtensionContext): Promise<string | undefined> {
  const setting = ownSettings().package.trim();
  if (setting !== "") {
    return setting;
  }
  const shipped = join(context.extensionUri.fsPath, "server");
  try {
    const wheel = readdirSync(shipped).find((name) => name.endsWith(".whl"));
    if (wheel !== undefined) {
      return join(shipped, wheel);
    }
  } catch {
    // This build of the extension carries no server.
  }
  // One dialog for both would show folders alone on Windows and Linux.
  const kind = await vscode.window.showQuickPick(
    [
      { label: "A wheel (.whl)", folder: false },
      { label: "A folder of sources", folder: true },
    ],
    { placeHolder: "What the server is installed from" },
  );
  if (kind === undefined) {
    return undefined;
  }
  const picked = await vscode.window.showOpenDialog({
    title: kind.folder ? "The folder with Remask's source" : "Remask's wheel",
    openLabel: "Install",
    canSelectFiles: !kind.folder,
    canSelectFolders: kind.folder,
    ...(kind.folder ? {} : { filters: { "Python package": ["whl"] } }),
  });
  return picked?.[0]?.fsPath;
}

/** Runs a program with its output in the log; when it fails, rejects with what of that says why. */
function logged(
  program: readonly string[],
  args: readonly string[],
  cwd: string,
  log: vscode.LogOutputChannel,
  token: vscode.CancellationToken,
  onLine: (line: string) => void = () => undefined,
): Promise<void> {
  const [command = "", ...first] = program;
  log.info(`$ ${[...program, ...args].join(" ")}`);
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...first, ...args], { cwd, windowsHide: true, stdio: ["ignore", "pipe", "pipe"] });
    const stop = token.onCancellationRequested(() => child.kill());
    const printed: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      createInterface(stream).on("line", (line) => {
        printed.push(line);
        if (line !== "") {
          log.info(line);
          onLine(line);
        }
      });
    }
    child.on("error", reject);
    child.on("close", (code) => {
      stop.dispose();
      if (token.isCancellationRequested) {
        reject(new vscode.CancellationError());
      } else if (code === 0) {
        resolve();
      } else {
        reject(new Error(trouble(printed) || `${command} ended with code ${String(code)}`));
      }
    });
  });
}

/** Does not wait for an answer: a notification stays until it is dismissed, and the server is to be back before. */
function complain(log: vscode.LogOutputChannel, message: string): void {
  log.error(message);
  void vscode.window.showErrorMessage(message, "Show the Log").then((picked) => {
    if (picked !== undefined) {
      log.show();
    }
  });
}
