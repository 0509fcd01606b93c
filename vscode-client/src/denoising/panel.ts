/** The denoising view: a panel that plays a block's steps. It opens by a command only. */
import { randomBytes } from "node:crypto";
import * as vscode from "vscode";
import type { Server } from "../server.js";
import { frames } from "./frames.js";

export class DenoisingPanel implements vscode.Disposable {
  #panel: vscode.WebviewPanel | undefined;
  #at: { readonly document: vscode.TextDocument; readonly position: vscode.Position } | undefined;
  #cancel: vscode.CancellationTokenSource | undefined;
  /** What the view shows, or is to show once its script runs: what is posted earlier is lost. */
  #shown: unknown;

  constructor(
    private readonly server: Server,
    private readonly extensionUri: vscode.Uri,
  ) {}

  /** Denoises what belongs at the cursor of this editor and plays it. */
  async show(editor: vscode.TextEditor): Promise<void> {
    this.#at = { document: editor.document, position: editor.selection.active };
    this.#panel ??= this.#open();
    this.#panel.reveal(undefined, true);
    await this.#denoise();
  }

  dispose(): void {
    this.#cancel?.cancel();
    this.#panel?.dispose();
  }

  async #denoise(): Promise<void> {
    if (this.#at === undefined || this.#panel === undefined) {
      return;
    }
    const { document } = this.#at;
    this.#cancel?.cancel();
    const cancel = (this.#cancel = new vscode.CancellationTokenSource());
    let place = vscode.workspace.asRelativePath(document.uri);
    try {
      const position = document.validatePosition(this.#at.position); // its line may have been deleted since
      place = `${place}, line ${String(position.line + 1)}, column ${String(position.character + 1)}`;
      const before = document.lineAt(position.line).text.slice(0, position.character);
      this.#say({ kind: "busy", place });
      const result = await this.server.denoise(document, position, cancel.token);
      if (!cancel.token.isCancellationRequested) {
        this.#say({ kind: "frames", place, before, frames: frames(result) });
      }
    } catch (error) {
      if (!cancel.token.isCancellationRequested) {
        const message = error instanceof Error ? error.message : String(error);
        this.#say({ kind: "failed", place, message });
      }
    }
  }

  #say(message: unknown): void {
    this.#shown = message;
    void this.#panel?.webview.postMessage(message);
  }

  #open(): vscode.WebviewPanel {
    const media = vscode.Uri.joinPath(this.extensionUri, "media");
    const column = { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true };
    const panel = vscode.window.createWebviewPanel("remask.denoising", "Denoising", column, {
      enableScripts: true,
      localResourceRoots: [media],
      retainContextWhenHidden: true,
    });
    panel.onDidDispose(() => {
      this.#cancel?.cancel();
      this.#panel = undefined;
    });
    panel.webview.onDidReceiveMessage((message: { kind?: unknown }) => {
      if (message.kind === "again") {
        void this.#denoise();
      } else if (message.kind === "ready" && this.#shown !== undefined) {
        this.#say(this.#shown);
      }
    });
    const resource = (file: string): string =>
      panel.webview.asWebviewUri(vscode.Uri.joinPath(media, "denoising", file)).toString();
    panel.webview.html = page(panel.webview.cspSource, resource("view.css"), resource("view.js"));
    return panel;
  }
}

function page(source: string, style: string, script: string): string {
  const nonce = randomBytes(16).toString("base64");
  return `<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta
      http-equiv="Content-Security-Policy"
      content="default-src 'none'; style-src ${source}; script-src 'nonce-${nonce}'"
    />
    <link rel="stylesheet" href="${style}" />
    <title>Denoising</title>
  </head>
  <body>
    <header>
      <h1 id="title">Denoising</h1>
      <p id="place"></p>
    </header>
    <pre id="code" tabindex="0" aria-label="The block in this step"></pre>
    <p id="told" role="status"></p>
    <nav>
      <button id="play">Play</button>
      <button id="back" aria-label="Previous step">‹</button>
      <input id="slider" type="range" min="0" max="0" value="0" aria-label="Step" />
      <button id="forth" aria-label="Next step">›</button>
      <button id="again">Again</button>
    </nav>
    <ul id="legend">
      <li><span class="mask">mask</span> not yet decided</li>
      <li><span class="decided">token</span> decided in this step</li>
      <li><span class="sentBack">token</span> sent back to noise by the parser</li>
    </ul>
    <script nonce="${nonce}" src="${script}"></script>
  </body>
</html>`;
}
