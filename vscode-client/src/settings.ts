/** The extension's settings: its own (where the server is), and those that are the server's. */
import * as vscode from "vscode";

export const SECTION = "remask";
const OWN = ["server", "trace"];

/** The client's own, all machine-scoped: a folder cannot set them. */
export interface OwnSettings {
  readonly serverPath: string;
  readonly interpreter: string;
  readonly package: string;
}

export function ownSettings(): OwnSettings {
  const settings = vscode.workspace.getConfiguration(`${SECTION}.server`);
  return {
    serverPath: settings.get("path", ""),
    interpreter: settings.get("interpreter", ""),
    package: settings.get("package", ""),
  };
}

/** The server's settings as a nested object. */
export function serverSettings(): Record<string, unknown> {
  const all = vscode.workspace.getConfiguration().get<Record<string, unknown>>(SECTION, {});
  return withoutOwn(all);
}

/** Drops what only the client reads: the server would call it a typing error. */
export function withoutOwn(all: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(all).filter(([name]) => !OWN.includes(name));
  // VS Code hands out proxies, which only JSON copies.
  return JSON.parse(JSON.stringify(Object.fromEntries(entries))) as Record<string, unknown>;
}

/** Whether a change of the settings asks for another server process. */
export function needsRestart(change: vscode.ConfigurationChangeEvent): boolean {
  return change.affectsConfiguration(`${SECTION}.server.path`) || change.affectsConfiguration(`${SECTION}.server.interpreter`);
}
