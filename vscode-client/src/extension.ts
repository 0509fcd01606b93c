/** Entry point: makes the parts and connects them. */
import * as vscode from "vscode";
import { registerCommands } from "./commands.js";
import { DenoisingPanel } from "./denoising/panel.js";
import { privateEnvironment } from "./environment.js";
import { Pauses } from "./pauses.js";
import { PythonExtension } from "./pythonExtension.js";
import { Reports } from "./reports.js";
import { Server } from "./server.js";
import { needsRestart } from "./settings.js";
import { StatusItem } from "./statusItem.js";
import { Suggestions } from "./suggestions.js";

let server: Server | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel("Remask", { log: true });
  const suggestions: Suggestions = new Suggestions(log, (command, ...args) => current.execute(command, ...args));
  const python = new PythonExtension(log);
  const current: Server = new Server(privateEnvironment(context), context.globalStorageUri.fsPath, python, log, suggestions);
  server = current;
  const pauses = new Pauses(current);
  const statusItem = new StatusItem(current, pauses);
  const reports = new Reports();
  const panel = new DenoisingPanel(current, context.extensionUri);

  let offered = false;
  context.subscriptions.push(
    log,
    suggestions,
    python,
    current,
    statusItem,
    reports,
    panel,
    ...registerCommands({ context, log, server: current, pauses, statusItem, reports, panel }),
    current.onStarted(() => {
      pauses.repeat().catch((error: unknown) => {
        log.warn(`What is paused could not be told to the new server: ${String(error)}`);
      });
    }),
    current.onStatus(({ state }) => {
      void vscode.commands.executeCommand("setContext", "remask.running", current.running);
      if (state === "missing" && !offered) {
        offered = true;
        void offerSetUp();
      }
    }),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (needsRestart(change)) {
        void current.restart();
      } else if (change.affectsConfiguration("remask")) {
        current.sendSettings();
      }
    }),
    // Trust lets the workspace's own environments in, and another interpreter may have the package.
    vscode.workspace.onDidGrantWorkspaceTrust(() => void current.lookAgain()),
    python.onChange(() => void current.lookAgain()),
  );
  void current.restart();
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}

/** Once a window, and never in the way: a notification, not a dialog. */
async function offerSetUp(): Promise<void> {
  const message =
    "Remask completes and repairs code, but its server is not installed: " +
    "no Python environment of this folder and nothing on PATH has the `remask` package.";
  const picked = await vscode.window.showInformationMessage(message, "Set Up the Server", "Show the Log");
  if (picked === "Set Up the Server") {
    await vscode.commands.executeCommand("remask.ui.setUp");
  } else if (picked === "Show the Log") {
    await vscode.commands.executeCommand("remask.ui.showLog");
  }
}
