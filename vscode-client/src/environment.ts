/** The private environment: a virtual environment in the extension's own storage that holds the server. */
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import * as vscode from "vscode";
import { run } from "./finder.js";
import { isRecentEnough, pythonNames, pythonVersion } from "./pythons.js";
import { ownSettings } from "./settings.js";

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
        rmSync(environment, { recursive: true, force: true });
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
    rmSync(environment, { recursive: true, force: true });
    if (!(error instanceof vscode.CancellationError)) {
      complain(log, `Remask could not set up its server: ${error instanceof Error ? error.message : String(error)}`);
    }
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
  const picked = await vscode.window.showOpenDialog({
    title: "The Remask package: a wheel (.whl), or the folder with its source",
    openLabel: "Install",
    canSelectFiles: true,
    canSelectFolders: true,
    filters: { "Python package": ["whl"] },
  });
  return picked?.[0]?.fsPath;
}

/** Runs a program with its output in the log; rejects with its last words when it fails. */
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
    let last = "";
    const read = (chunk: Buffer): void => {
      for (const line of chunk.toString("utf8").split(/\r?\n/).filter(Boolean)) {
        log.info(line);
        onLine(line);
        // pip says what went wrong, then what else one could do.
        last = line.startsWith("ERROR:") || !last.startsWith("ERROR:") ? line : last;
      }
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.on("error", reject);
    child.on("close", (code) => {
      stop.dispose();
      if (token.isCancellationRequested) {
        reject(new vscode.CancellationError());
      } else if (code === 0) {
        resolve();
      } else {
        reject(new Error(last || `${command} ended with code ${String(code)}`));
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
