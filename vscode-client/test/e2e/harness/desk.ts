/** What the tests of one VS Code share. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { extensionFolder } from "../../../scripts/paths.mjs";
import { CodeServer, type Profile } from "./codeServer.js";
import { Workbench } from "./workbench.js";

export const SCREENSHOTS = join(extensionFolder, "out", "screenshots");

export class Desk {
  private constructor(
    readonly server: CodeServer,
    readonly workbench: Workbench,
  ) {}

  static async open(profile: Profile): Promise<Desk> {
    const server = await CodeServer.start(profile);
    try {
      return new Desk(server, await Workbench.open(server));
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  async close(): Promise<void> {
    try {
      await this.workbench.close();
    } finally {
      await this.server.stop();
    }
  }

  /** Keeps a picture of the window. */
  async screenshot(name: string): Promise<void> {
    mkdirSync(SCREENSHOTS, { recursive: true });
    await this.workbench.page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
  }

  /** Keeps a picture of the upper part of the editors, for the docs. */
  async picture(name: string, height: number, part = ".editor-instance"): Promise<void> {
    mkdirSync(SCREENSHOTS, { recursive: true });
    const box = await this.workbench.page.locator(part).first().boundingBox();
    if (box === null) {
      throw new Error(`${part} is not on screen`);
    }
    const clip = { ...box, height: Math.min(height, box.height) };
    await this.workbench.page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), clip });
  }
}
