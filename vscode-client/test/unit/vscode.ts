/** What the tests need of VS Code's API, in its place. */

/** What was called, by name, with its arguments. */
export const calls: { readonly name: string; readonly args: readonly unknown[] }[] = [];

function noted(name: string, ...args: unknown[]): void {
  calls.push({ name, args });
}

export class CancellationTokenSource {
  readonly token = { isCancellationRequested: false };

  cancel(): void {
    this.token.isCancellationRequested = true;
  }
}

export class CancellationError extends Error {}

export class EventEmitter<T> {
  readonly #listeners = new Set<(value: T) => void>();
  readonly event = (listener: (value: T) => void): { dispose(): void } => {
    this.#listeners.add(listener);
    return { dispose: () => this.#listeners.delete(listener) };
  };

  fire(value: T): void {
    for (const listener of this.#listeners) {
      listener(value);
    }
  }

  dispose(): void {
    this.#listeners.clear();
  }
}

export const ProgressLocation = { Notification: 15 };

export const ViewColumn = { Beside: -2 };

export const Uri = {
  joinPath: (base: string, ...parts: string[]): string => [base, ...parts].join("/"),
};

/** A webview panel: what was posted to it, and a way to say something from inside it. */
export class Panel {
  readonly posted: unknown[] = [];
  say: (message: unknown) => void = () => undefined;
  readonly webview = {
    html: "",
    cspSource: "",
    asWebviewUri: (uri: string): string => uri,
    onDidReceiveMessage: (listener: (message: unknown) => void): void => {
      this.say = listener;
    },
    postMessage: (message: unknown): Promise<boolean> => {
      this.posted.push(message);
      return Promise.resolve(true);
    },
  };

  onDidDispose(): void {
    // It is never closed here.
  }

  reveal(): void {
    // It is always in view.
  }
}

export const window = {
  panels: [] as Panel[],
  createWebviewPanel(): Panel {
    const panel = new Panel();
    this.panels.push(panel);
    return panel;
  },
  /** What the person picks in the next lists, by label; nothing when there is no more. */
  picks: [] as string[],
  showQuickPick<T extends { label: string }>(items: readonly T[], ...args: unknown[]): Promise<T | undefined> {
    noted("showQuickPick", items, ...args);
    const label = this.picks.shift();
    return Promise.resolve(items.find((item) => item.label === label));
  },
  /** A dialog that is closed. */
  showOpenDialog(...args: unknown[]): Promise<undefined> {
    noted("showOpenDialog", ...args);
    return Promise.resolve(undefined);
  },
  withProgress<T>(_: unknown, work: (progress: unknown, token: unknown) => Promise<T>): Promise<T> {
    const token = { isCancellationRequested: false, onCancellationRequested: () => ({ dispose: () => undefined }) };
    return work({ report: () => undefined }, token);
  },
  showInformationMessage(...args: unknown[]): Promise<undefined> {
    noted("showInformationMessage", ...args);
    return Promise.resolve(undefined);
  },
  /** A notification that nobody dismisses. */
  showErrorMessage(...args: unknown[]): Promise<never> {
    noted("showErrorMessage", ...args);
    return new Promise(() => undefined);
  },
};

export const commands = {
  registered: new Map<string, () => Promise<void>>(),
  registerCommand(id: string, handler: () => Promise<void>): { dispose(): void } {
    this.registered.set(id, handler);
    return { dispose: () => this.registered.delete(id) };
  },
  executeCommand(...args: unknown[]): Promise<void> {
    noted("executeCommand", ...args);
    return Promise.resolve();
  },
};

export const workspace = {
  isTrusted: true,
  workspaceFolders: [] as { uri: { scheme: string; fsPath: string } }[],
  /** Settings by their full name. */
  settings: {} as Record<string, unknown>,
  asRelativePath: (uri: string): string => uri,
  getConfiguration(section?: string): { get(name: string, otherwise: unknown): unknown } {
    return {
      get: (name, otherwise) => this.settings[[section, name].filter(Boolean).join(".")] ?? otherwise,
    };
  },
};

export const extensions = {
  /** The one other extension that is installed, if any. */
  other: undefined as { activate(): Promise<unknown> } | undefined,
  getExtension(): { activate(): Promise<unknown> } | undefined {
    return this.other;
  },
};
