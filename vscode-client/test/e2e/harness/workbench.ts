/** The workbench as a person uses it: keys in, what the screen shows out. */
import { type Browser, type Frame, type Locator, type Page, chromium } from "playwright-core";
import { findChromium } from "../../../scripts/paths.mjs";
import type { CodeServer } from "./codeServer.js";
import { until } from "./until.js";

const GHOST = '.monaco-editor .view-line [class*="ghost-text"]';

export class Workbench {
  private constructor(
    private readonly server: CodeServer,
    private readonly browser: Browser,
    readonly page: Page,
  ) {}

  static async open(server: CodeServer): Promise<Workbench> {
    const browser = await chromium.launch({
      executablePath: findChromium() ?? "",
      args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
    });
    const page = await browser.newPage({ viewport: { width: 1180, height: 720 }, deviceScaleFactor: 1 });
    page.setDefaultTimeout(60_000);
    await page.goto(server.url);
    await page.waitForSelector(".monaco-workbench .statusbar", { timeout: 120_000 });
    return new Workbench(server, browser, page);
  }

  async close(): Promise<void> {
    await this.browser.close();
  }

  async press(...keys: string[]): Promise<void> {
    for (const key of keys) {
      await this.page.keyboard.press(key);
    }
  }

  /** Types as a person does, with a pause between keys. */
  async type(text: string, delayMs = 40): Promise<void> {
    await this.page.keyboard.type(text, { delay: delayMs });
  }

  /** Opens a file of the workspace with the cursor at a 1-based line and column, and waits for its text. */
  async openFile(name: string, line = 1, column = 1, isText = true): Promise<void> {
    const row = this.page.locator(`.quick-input-list .monaco-list-row.focused:has-text("${name}")`);
    await until(`${name} in the list of files`, async () => {
      await this.press("Control+p");
      await this.page.waitForSelector(".quick-input-widget input");
      await this.page.keyboard.insertText(`${name}:${String(line)}:${String(column)}`);
      const listed = await row.waitFor({ timeout: 10_000 }).then(
        () => true,
        () => false,
      );
      if (!listed) {
        await this.press("Escape"); // a window that has just opened may not have looked for files yet
      }
      return listed;
    });
    await this.press("Enter");
    await this.page.waitForSelector(`.tab.active[data-resource-name="${name}"]`);
    await this.page.waitForSelector(".quick-input-widget", { state: "hidden" });
    if (isText) {
      await this.focusEditor();
    }
  }

  async focusEditor(): Promise<void> {
    await this.page.waitForSelector(".editor-instance .monaco-editor.focused");
  }

  /** Runs a command by its title in the palette. */
  async command(title: string): Promise<void> {
    const name = this.page.locator(".label-name", { hasText: new RegExp(`^${title.replace(/[.()]/g, "\\$&")}$`) });
    const row = this.page.locator(".quick-input-list .monaco-list-row").filter({ has: name }).first();
    await until(`the command ${title}`, async () => {
      await this.press("F1");
      await this.page.waitForSelector(".quick-input-widget input");
      await this.page.keyboard.insertText(title);
      const ran = await row.click({ timeout: 10_000 }).then(
        () => true,
        () => false,
      );
      if (!ran) {
        await this.press("Escape"); // a window that has just opened may not have its commands yet, or took the focus away
      }
      return ran;
    });
    await this.page.mouse.move(2, 2); // no hover over what comes next
  }

  /** The ghost text on screen, line by line; "" when there is none. */
  async ghostText(): Promise<string> {
    const pieces = await this.page.locator(GHOST).evaluateAll((elements) => {
      const lines = new Map<Element | null, string>();
      for (const element of elements.filter(({ childElementCount }) => childElementCount === 0)) {
        const line = element.closest(".view-line");
        lines.set(line, (lines.get(line) ?? "") + element.textContent);
      }
      return [...lines.values()];
    });
    return pieces.join("\n").replaceAll("\u00a0", " ").replaceAll("\u200b", "");
  }

  async waitForGhostText(timeoutMs = 60_000): Promise<string> {
    return await until("ghost text", async () => (await this.ghostText()).trim() !== "" && (await this.ghostText()), timeoutMs);
  }

  /** Types and waits for ghost text. */
  async ask(text: string): Promise<string> {
    await this.type(text);
    return await until(`ghost text behind "${text}"`, async () => {
      const shown = await this.waitForGhostText(10_000).catch(() => "");
      if (shown === "") {
        // A busy machine may miss the deadline of an automatic suggestion; a person's next key asks again.
        await this.press(...Array.from(text, () => "Shift+ArrowLeft"), "Delete");
        await this.type(text);
      }
      return shown !== "" && shown;
    });
  }

  async waitForNoGhostText(): Promise<void> {
    await until("ghost text to go", async () => (await this.ghostText()) === "");
  }

  /** Saves the active file and reads it from disk. */
  async saved(name: string): Promise<string> {
    await this.press("Control+s");
    let last: string | undefined;
    return await until(`${name} to be saved`, async () => {
      const before = last;
      last = this.server.read(name);
      await this.page.waitForTimeout(200);
      const clean = await this.page.locator(`.tab.active:not(.dirty)[data-resource-name="${name}"]`).count();
      // A file that is just being written is empty or cut: the same text twice, and nothing left to save.
      return clean > 0 && last !== "" && last === before && last;
    });
  }

  get statusItem(): Locator {
    return this.page.locator('.statusbar-item [aria-label^="Remask:"]');
  }

  /** Waits until the status bar says this of Remask. */
  async waitForStatus(says: RegExp, timeoutMs = 120_000): Promise<void> {
    await until(
      `the status ${String(says)}`,
      async () => says.test((await this.statusItem.first().getAttribute("aria-label").catch(() => "")) ?? ""),
      timeoutMs,
    );
  }

  /** The notification whose text matches. */
  notification(text: RegExp): Locator {
    return this.page.locator(".notification-list-item", { hasText: text });
  }

  /** The innermost frame of the webview that has this element. */
  async webview(selector: string): Promise<Frame> {
    return await until(`a webview with ${selector}`, async () => {
      for (const frame of this.page.frames()) {
        if ((await frame.locator(selector).count().catch(() => 0)) > 0) {
          return frame;
        }
      }
      return null;
    });
  }
}
