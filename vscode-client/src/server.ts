/** The server's life: found, started, watched, started again when it dies, stopped. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import * as vscode from "vscode";
import { CloseAction, ErrorAction, LanguageClient, RevealOutputChannelOn, State } from "vscode-languageclient/node";
import { Backoff } from "./backoff.js";
import type { Candidate } from "./discovery.js";
import { type Found, findServer } from "./finder.js";
import { SELECTOR } from "./languages.js";
import { type Listener, middleware } from "./middleware.js";
import type { PythonExtension } from "./pythonExtension.js";
import { DENOISE, type DenoiseResult, STATUS, type StatusParams } from "./protocol.js";
import { SECTION, serverSettings } from "./settings.js";
import type { Status } from "./statusText.js";

const STOP_TIMEOUT_MS = 2_000;

/** A client whose errors go to the log and, through the status bar, to the person: never to a pop-up with a stack. */
class QuietClient extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}

export class Server implements vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<Status>();
  readonly #started = new vscode.EventEmitter<void>();
  readonly #backoff = new Backoff();
  /** One start or stop at a time. */
  #queue: Promise<void> = Promise.resolve();
  #client: LanguageClient | undefined;
  #process: ChildProcess | undefined;
  #retry: NodeJS.Timeout | undefined;
  #status: Status = { state: "starting" };
  #disposed = false;

  /** The server's state changed. */
  readonly onStatus = this.#changed.event;
  /** A server process is up and initialised. */
  readonly onStarted = this.#started.event;
  /** What the last search found. */
  found: Found | undefined;

  constructor(
    private readonly privateEnvironment: string,
    /** A folder of the extension: server and probes run in it, never in a workspace. */
    readonly home: string,
    private readonly python: PythonExtension,
    private readonly log: vscode.LogOutputChannel,
    private readonly listener: Listener,
  ) {}

  get status(): Status {
    return this.#status;
  }

  get running(): boolean {
    return this.#client !== undefined;
  }

  /** Looks for a server and starts it; a running one is stopped first. */
  restart(): Promise<void> {
    this.#backoff.reset();
    if (this.#client?.state === State.Starting) {
      this.#process?.kill(); // else one that hangs while it starts would hold up its successor for ever
    }
    return this.#enqueue(async () => {
      await this.#stop();
      await this.#start();
    });
  }

  /** Looks again after a search that found no server that runs; else there is nothing to do. */
  lookAgain(): Promise<void> {
    return this.#enqueue(async () => {
      if (this.#client === undefined && (this.#status.state === "missing" || this.#status.state === "error")) {
        this.#backoff.reset();
        await this.#start();
      }
    });
  }

  /** Runs a command of the server. Rejects when there is no server, or when the command says that it failed. */
  async execute(command: string, ...args: unknown[]): Promise<unknown> {
    const answer = await this.#request("workspace/executeCommand", { command, arguments: args });
    if (typeof answer === "object" && answer !== null && "error" in answer) {
      throw new Error(String(answer.error));
    }
    return answer;
  }

  /** Every step on the way to what belongs at a position. */
  async denoise(
    document: vscode.TextDocument,
    position: vscode.Position,
    token: vscode.CancellationToken,
  ): Promise<DenoiseResult> {
    const params = { textDocument: { uri: document.uri.toString() }, position };
    return (await this.#request(DENOISE, params, token)) as DenoiseResult;
  }

  /** Tells the server that settings changed. */
  sendSettings(): void {
    void this.#client?.sendNotification("workspace/didChangeConfiguration", {
      settings: { [SECTION]: serverSettings() },
    });
  }

  dispose(): void {
    this.#disposed = true;
    void this.stop();
    this.#changed.dispose();
    this.#started.dispose();
  }

  /** Stops the server and does not start it again; `meanwhile` is what it then says of itself, at once. */
  stop(meanwhile?: Status): Promise<void> {
    return this.#enqueue(async () => {
      const stopped = this.#stop();
      if (meanwhile !== undefined) {
        this.#report(meanwhile);
      }
      await stopped;
    });
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    this.#queue = this.#queue.then(work).catch((error: unknown) => {
      this.log.error(String(error));
    });
    return this.#queue;
  }

  async #request(method: string, params: unknown, token?: vscode.CancellationToken): Promise<unknown> {
    if (this.#client === undefined) {
      throw new Error("Remask's server is not running.");
    }
    // An undefined token would be taken for a second parameter.
    return await (token === undefined
      ? this.#client.sendRequest<unknown>(method, params)
      : this.#client.sendRequest<unknown>(method, params, token));
  }

  #report(status: Status): void {
    this.#status = status;
    if (!this.#disposed) {
      this.#changed.fire(status);
    }
  }

  async #start(): Promise<void> {
    this.#report({ state: "starting" });
    try {
      mkdirSync(this.home, { recursive: true });
      this.found = await findServer(this.privateEnvironment, this.home, this.python, this.log);
    } catch (error) {
      this.found = { kind: "problem", message: `The server could not be looked for: ${String(error)}` };
    }
    if (this.found.kind === "found") {
      await this.#launch(this.found.candidate);
    } else if (this.found.kind === "problem") {
      this.log.error(this.found.message);
      this.#report({ state: "error", message: this.found.message });
    } else {
      this.log.warn("No Remask server found. The command `Remask: Set Up the Server` installs one.");
      this.#report({ state: "missing", message: "Remask's server is not installed: set it up from the menu." });
    }
  }

  async #launch(candidate: Candidate): Promise<void> {
    const born = performance.now();
    const client = new QuietClient(SECTION, "Remask", () => this.#spawn(candidate), {
      documentSelector: SELECTOR,
      initializationOptions: serverSettings,
      outputChannel: this.log,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      diagnosticCollectionName: "remask",
      middleware: middleware(this.listener),
      // Restarting is ours: the library's own restarts at once and asks by a pop-up.
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: () => {
          if (this.#client === client) {
            this.#died(performance.now() - born);
          }
          return { action: CloseAction.DoNotRestart, handled: true, message: "The connection to the server closed." };
        },
      },
      initializationFailedHandler: (error) => {
        this.log.error(`The server did not initialise: ${String(error)}`);
        return false;
      },
    });
    client.onNotification(STATUS, (params: StatusParams) => {
      if (this.#client === client) {
        this.#report(params);
      }
    });
    this.#client = client;
    try {
      await client.start();
    } catch (error) {
      if (this.#client === client) {
        this.log.error(`The server did not start: ${String(error)}`);
        this.#died(performance.now() - born);
      }
      return;
    }
    // Unless the server has already said more.
    if (this.#status.state === "starting" || this.#status.state === "restarting") {
      this.#report({ state: "loading" });
    }
    this.#started.fire();
  }

  #spawn(candidate: Candidate): Promise<ChildProcess> {
    return new Promise((resolve, reject) => {
      const child = spawn(candidate.command, [...candidate.args, "lsp"], { cwd: this.home, windowsHide: true });
      child.once("error", reject);
      child.once("spawn", () => {
        this.#process = child;
        resolve(child);
      });
      child.once("exit", (code, signal) => {
        this.log.info(`The server process ended (${signal ?? `code ${String(code)}`}).`);
      });
    });
  }

  #died(livedMs: number): void {
    this.#client = undefined;
    if (this.#disposed) {
      return;
    }
    const wait = this.#backoff.next(livedMs);
    if (wait === null) {
      const message = "The server keeps stopping, so it is not started again. The log says why; restart it from the menu.";
      this.log.error(message);
      this.#report({ state: "error", message });
      return;
    }
    this.log.warn(`The server stopped; it is started again in ${String(wait / 1000)} s.`);
    this.#report({ state: "restarting" });
    this.#retry = setTimeout(() => {
      void this.#enqueue(async () => {
        if (this.#client === undefined && !this.#disposed) {
          await this.#start();
        }
      });
    }, wait);
  }

  async #stop(): Promise<void> {
    clearTimeout(this.#retry);
    const [client, child] = [this.#client, this.#process];
    this.#client = this.#process = undefined;
    try {
      await client?.dispose(STOP_TIMEOUT_MS);
    } catch (error) {
      this.log.warn(`The server did not stop in order: ${String(error)}`);
    }
    if (child?.exitCode === null && child.signalCode === null) {
      child.kill();
    }
  }
}
