/** The interpreter that the Python extension (ms-python.python) has chosen, when that extension is there. */
import * as vscode from "vscode";

// Whoever waits for it holds up the start of the server.
const PATIENCE_MS = 10_000;

// The part of its API that is used: https://github.com/microsoft/vscode-python/wiki/Python-Environment-APIs
interface PythonApi {
  readonly environments?: {
    getActiveEnvironmentPath(resource?: vscode.Uri): { readonly path: string };
    resolveEnvironment(environment: {
      readonly path: string;
    }): Promise<{ readonly executable: { readonly uri?: vscode.Uri } } | undefined>;
    readonly onDidChangeActiveEnvironmentPath?: vscode.Event<unknown>;
  };
}

export class PythonExtension implements vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<void>();
  #subscription: vscode.Disposable | undefined;
  #known: string | undefined;
  #disposed = false;

  /** Another interpreter was chosen, or one became known after `interpreter` had given up. */
  readonly onChange = this.#changed.event;

  constructor(
    private readonly log: vscode.LogOutputChannel,
    private readonly patienceMs = PATIENCE_MS,
  ) {}

  /** Absolute path of the interpreter, that of the last time when it is not said soon; undefined when there is none. */
  async interpreter(): Promise<string | undefined> {
    let timer: NodeJS.Timeout | undefined;
    let late = false;
    const known = this.#known;
    const asked = this.#ask().then((path) => {
      this.#known = path;
      if (late && path !== known) {
        this.#change();
      }
      return path;
    });
    const timeUp = new Promise<string | undefined>((resolve) => {
      timer = setTimeout(() => {
        late = true;
        this.log.warn(`The Python extension did not tell its interpreter within ${String(this.patienceMs / 1000)} s.`);
        resolve(known);
      }, this.patienceMs);
    });
    try {
      return await Promise.race([asked, timeUp]);
    } finally {
      clearTimeout(timer);
    }
  }

  dispose(): void {
    this.#disposed = true;
    this.#subscription?.dispose();
    this.#changed.dispose();
  }

  async #ask(): Promise<string | undefined> {
    const extension = vscode.extensions.getExtension<PythonApi>("ms-python.python");
    if (extension === undefined) {
      return undefined;
    }
    try {
      const { environments } = await extension.activate();
      if (!this.#disposed) {
        this.#subscription ??= environments?.onDidChangeActiveEnvironmentPath?.(() => {
          this.#change();
        });
      }
      const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
      const environment = await environments?.resolveEnvironment(environments.getActiveEnvironmentPath(folder));
      return environment?.executable.uri?.fsPath;
    } catch (error) {
      this.log.warn(`The Python extension did not tell its interpreter: ${String(error)}`);
      return undefined;
    }
  }

  #change(): void {
    if (!this.#disposed) {
      this.#changed.fire();
    }
  }
}
