/** The menu behind the status bar item. */
import * as vscode from "vscode";
import { LANGUAGES } from "./languages.js";
import type { Pauses } from "./pauses.js";
import type { Server } from "./server.js";

interface Entry extends vscode.QuickPickItem {
  readonly command?: string;
}

export async function showMenu(server: Server, pauses: Pauses): Promise<void> {
  const language = vscode.window.activeTextEditor?.document.languageId;
  const entries: Entry[] = [];
  if (server.running) {
    entries.push(
      pauses.everything
        ? { label: "$(play) Resume", command: "remask.ui.resume" }
        : { label: "$(debug-pause) Pause", command: "remask.ui.pause" },
    );
    if (language !== undefined && LANGUAGES.includes(language)) {
      const label = pauses.languages.has(language) ? `$(play) Resume for ${language}` : `$(debug-pause) Pause for ${language}`;
      entries.push({ label, command: "remask.ui.toggleLanguage" });
    }
    entries.push(
      { label: "$(pulse) Doctor", description: "what this installation has and lacks", command: "remask.ui.doctor" },
      { label: "$(graph) Statistics", description: "counted on this machine only", command: "remask.ui.stats" },
      { label: "$(eye) Show a block being denoised", command: "remask.ui.denoise" },
    );
  } else {
    entries.push({ label: "$(cloud-download) Set up the server", command: "remask.ui.setUp" });
  }
  entries.push(
    { label: "", kind: vscode.QuickPickItemKind.Separator },
    { label: "$(output) Show the log", command: "remask.ui.showLog" },
    { label: "$(debug-restart) Restart the server", command: "remask.ui.restart" },
    { label: "$(gear) Settings", command: "remask.ui.settings" },
    { label: "$(book) First steps", command: "remask.ui.walkthrough" },
  );
  const { status } = server;
  const placeHolder = ["Remask", status.state, status.message].filter(Boolean).join(": ");
  const picked = await vscode.window.showQuickPick(entries, { placeHolder });
  if (picked?.command !== undefined) {
    await vscode.commands.executeCommand(picked.command);
  }
}
