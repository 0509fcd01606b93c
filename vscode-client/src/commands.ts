/** The palette's commands. Their ids begin with `remask.ui.`: the plain ones belong to the server. */
import * as vscode from "vscode";
import type { DenoisingPanel } from "./denoising/panel.js";
import { setUp } from "./environment.js";
import { run } from "./finder.js";
import { LANGUAGES } from "./languages.js";
import { showMenu } from "./menu.js";
import type { Pauses } from "./pauses.js";
import { DOCTOR, FIX_ALL, REWRITE, STATS } from "./protocol.js";
import { report } from "./report.js";
import type { Reports } from "./reports.js";
import type { Server } from "./server.js";
import type { StatusItem } from "./statusItem.js";

export interface Parts {
  readonly context: vscode.ExtensionContext;
  readonly log: vscode.LogOutputChannel;
  readonly server: Server;
  readonly pauses: Pauses;
  readonly statusItem: StatusItem;
  readonly reports: Reports;
  readonly panel: DenoisingPanel;
}

export function registerCommands(parts: Parts): vscode.Disposable[] {
  const { context, log, server, pauses, statusItem, reports, panel } = parts;
  let settingUp: Promise<void> | undefined; // two would delete each other's environment
  const handlers: Record<string, () => unknown> = {
    menu: () => showMenu(server, pauses),
    setUp: () => {
      settingUp ??= setUpAnew(parts).finally(() => {
        settingUp = undefined;
      });
      return settingUp;
    },
    restart: () => server.restart(),
    pause: async () => {
      await pauses.pause();
      statusItem.draw();
    },
    resume: async () => {
      await pauses.resume();
      statusItem.draw();
    },
    toggleLanguage: async () => {
      const language = vscode.window.activeTextEditor?.document.languageId;
      if (language === undefined || !LANGUAGES.includes(language)) {
        say(`Remask completes ${LANGUAGES.join(", ")}: there is nothing to pause here.`);
      } else if (pauses.languages.has(language)) {
        await pauses.resume(language);
      } else {
        await pauses.pause(language);
      }
      statusItem.draw();
    },
    fixFile: () => vscode.commands.executeCommand("editor.action.sourceAction", { kind: FIX_ALL, apply: "first" }),
    rewrite: () => vscode.commands.executeCommand("editor.action.codeAction", { kind: REWRITE, apply: "never" }),
    denoise: async () => {
      const editor = vscode.window.activeTextEditor;
      if (editor === undefined || !LANGUAGES.includes(editor.document.languageId)) {
        say(`Put the cursor into a file of a language that Remask knows: ${LANGUAGES.join(", ")}.`);
      } else {
        await panel.show(editor);
      }
    },
    doctor: async () => {
      await reports.show("Remask doctor", await doctor(server));
    },
    stats: async () => {
      await reports.show("Remask statistics", report(await server.execute(STATS)));
    },
    showLog: () => {
      log.show();
    },
    settings: () => vscode.commands.executeCommand("workbench.action.openSettings", `@ext:${context.extension.id}`),
    walkthrough: () =>
      vscode.commands.executeCommand("workbench.action.openWalkthrough", `${context.extension.id}#firstSteps`),
  };
  return Object.entries(handlers).map(([name, handler]) =>
    vscode.commands.registerCommand(`remask.ui.${name}`, async () => {
      try {
        await handler();
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        log.error(`${name}: ${message}`);
        say(message);
      }
    }),
  );
}

async function setUpAnew({ context, log, server }: Parts): Promise<void> {
  await server.stop({ state: "starting", message: "setting up the server" }); // it may run from what is made anew
  try {
    await setUp(context, log);
  } finally {
    await server.restart(); // else it would be "setting up" for ever
  }
}

/** What is there and what is lacking; without a server, what was tried to find one. */
async function doctor(server: Server): Promise<string> {
  if (server.running) {
    return report(await server.execute(DOCTOR));
  }
  const { found } = server;
  if (found?.kind === "found") {
    const { command, args } = found.candidate;
    const { output } = await run(command, [...args, "doctor"], server.home);
    return output.trim();
  }
  const tried = found?.kind === "missing" && found.tried.length > 0 ? ["", "Tried:", ...found.tried] : [];
  return [server.status.message ?? "The server is not running.", ...tried].join("\n");
}

function say(message: string): void {
  void vscode.window.showInformationMessage(message);
}
