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
  asRelativePath: (uri: string): string => uri,
};
