/** The workbench as a person uses it: keys in, what the screen shows out. */
import { type Browser, type Frame, type Locator, type Page, chromium } from "playwright-core";
import { findChromium } from "../../../scripts/paths.mjs";
import type { CodeServer } from "./codeServer.js";
import { succeeds, until } from "./until.js";

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
    try {
      const page = await browser.newPage({ viewport: { width: 1180, height: 720 }, deviceScaleFactor: 1 });
      page.setDefaultTimeout(120_000);
      await page.goto(server.url);
      await page.waitForSelector(".monaco-workbench .statusbar", { timeout: 240_000 });
      return new Workbench(server, browser, page);
    } catch (error) {
      await browser.close(); // while it is open the tests do not end
      throw error;
    }
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
    // An editor that is there already shows the file before this one, or this one at another place, for a moment.
    const shown = this.page.locator(isText ? `.editor-instance .monaco-editor.focused[data-uri$="/${name}"]` : ".editor-instance");
    const place = this.page.locator(".statusbar-item", { hasText: new RegExp(`^Ln ${String(line)}, Col ${String(column)}\\b`) });
    await this.#until(
      `${name} at ${String(line)}:${String(column)}`,
      async (timeout) =>
        (await this.#pick("Control+p", `${name}:${String(line)}:${String(column)}`, name, timeout)) &&
        (await succeeds(async () => {
          await this.page.waitForSelector(`.tab.active[data-resource-name="${name}"]`, { timeout });
          await this.page.waitForSelector(".quick-input-widget", { state: "hidden", timeout });
          await shown.first().waitFor({ timeout });
          if (isText) {
            await place.first().waitFor({ timeout });
          }
        })),
    );
  }

  async focusEditor(): Promise<void> {
    await this.page.waitForSelector(".editor-instance .monaco-editor.focused");
  }

  /** Runs a command by its title in the palette. */
  async command(title: string): Promise<void> {
    await this.#until(`the command ${title}`, (timeout) => this.#pick("F1", `>${title}`, title, timeout));
  }

  /** Closes every editor; what is not saved is saved first, for VS Code would ask. */
  async closeEditors(): Promise<void> {
    await this.command("File: Save All Files");
    await until("everything to be saved", async () => (await this.page.locator(".tab.dirty").count()) === 0, 120_000);
    await this.command("View: Close All Editors");
    await until("the editors to close", async () => (await this.page.locator(".tabs-container .tab").count()) === 0);
  }

  /** Tries again and again, each time with more patience: a try that is cut off too soon has to begin anew. */
  async #until(what: string, act: (timeout: number) => Promise<boolean>): Promise<void> {
    let timeout = 5_000;
    await until(
      what,
      () => {
        timeout *= 2;
        return act(timeout);
      },
      180_000,
    );
  }

  /** Opens a list by a key, types what to look for and picks the row of that name; false when it did not come. */
  async #pick(key: string, lookFor: string, label: string, timeout: number): Promise<boolean> {
    const input = this.page.locator(".quick-input-widget .quick-input-box input");
    const name = this.page.locator(".label-name", { hasText: new RegExp(`^${label.replace(/[.()]/g, "\\$&")}$`) });
    const row = this.page.locator(".quick-input-list .monaco-list-row").filter({ has: name }).first();
    await this.press(key);
    const picked = await succeeds(async () => {
      await input.fill(lookFor, { timeout }); // not by keys, which go to whoever has the focus by then
      await row.click({ timeout });
    });
    if (!picked) {
      await this.press("Escape"); // a window that has just opened may not have its commands or looked for files yet
    }
    await this.page.mouse.move(2, 2); // no hover over what comes next
    return picked;
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
    return await until(
      "ghost text",
      async () => {
        const shown = await this.ghostText();
        if (shown.trim() === "") {
          return false;
        }
        await this.page.waitForTimeout(400); // what is seen first may be half drawn, or about to be replaced
        return (await this.ghostText()) === shown && shown;
      },
      timeoutMs,
    );
  }

  /** Types and waits for ghost text. */
  async ask(text: string): Promise<string> {
    await this.type(text);
    return await until(
      `ghost text behind "${text}"`,
      async () => {
        const shown = await this.waitForGhostText(20_000).catch(() => "");
        if (shown === "") {
          // A busy machine may miss the deadline of an automatic suggestion; a person's next key asks again.
          await this.press(...Array.from(text, () => "Shift+ArrowLeft"), "Delete");
          await this.type(text);
        }
        return shown !== "" && shown;
      },
      180_000,
    );
  }

  async waitForNoGhostText(): Promise<void> {
    await until("ghost text to go", async () => (await this.ghostText()) === "");
  }

  /** Saves the active file and reads it from disk. */
  async saved(name: string): Promise<string> {
    const clean = async (): Promise<boolean> =>
      (await this.page.locator(`.tab.active:not(.dirty)[data-resource-name="${name}"]`).count()) > 0;
    await this.press("Control+s");
    return await until(
      `${name} to be saved`,
      async () => {
        if (!(await clean())) {
          await this.page.waitForTimeout(500);
          await this.press("Control+s"); // what is changed by a menu may come after the first
          return false;
        }
        const text = this.server.read(name);
        await this.page.waitForTimeout(500);
        return (await clean()) && text !== "" && text === this.server.read(name) && text;
      },
      120_000,
    );
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
