/** What is paused, and telling so to each new server: the server forgets when it is started again. */
import * as vscode from "vscode";
import { sameLanguage } from "./languages.js";
import { PAUSE, RESUME } from "./protocol.js";
import type { Server } from "./server.js";

export class Pauses {
  readonly #languages = new Set<string>();
  #everything = false;

  constructor(private readonly server: Server) {}

  get everything(): boolean {
    return this.#everything;
  }

  /** Identifiers, with all of a language when one of them was paused. */
  get languages(): ReadonlySet<string> {
    return this.#languages;
  }

  async pause(languageId?: string): Promise<void> {
    if (languageId === undefined) {
      await this.#setEverything(true);
    } else {
      for (const id of sameLanguage(languageId)) {
        this.#languages.add(id);
      }
    }
    await this.server.execute(PAUSE, ...(languageId === undefined ? [] : [languageId]));
  }

  async resume(languageId?: string): Promise<void> {
    if (languageId === undefined) {
      this.#languages.clear(); // as the server does
      await this.#setEverything(false);
    } else {
      for (const id of sameLanguage(languageId)) {
        this.#languages.delete(id);
      }
    }
    await this.server.execute(RESUME, ...(languageId === undefined ? [] : [languageId]));
  }

  /** Says to a new server what was paused before. */
  async repeat(): Promise<void> {
    for (const language of this.#languages) {
      await this.server.execute(PAUSE, language);
    }
    if (this.#everything) {
      await this.server.execute(PAUSE);
    }
  }

  async #setEverything(paused: boolean): Promise<void> {
    this.#everything = paused;
    await vscode.commands.executeCommand("setContext", "remask.paused", paused);
  }
}
