/** A real VS Code (code-server) with a clean profile, the extension from its .vsix, and a folder to work in. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { codeServerEntry, extensionFolder, findPython, nodeBinary } from "../../../scripts/paths.mjs";
import manifest from "../../../package.json";
import { until } from "./until.js";

const MARK = "REMASK_E2E_RUN";

export interface Profile {
  /** Files of the workspace. */
  readonly files: Readonly<Record<string, string>>;
  /** User settings beyond those that keep VS Code quiet. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Whether PATH has the `remask` program. */
  readonly serverOnPath: boolean;
  /** Whether VS Code asks whether the folder is trusted (it then starts untrusted). */
  readonly asksForTrust?: boolean;
  readonly vsix?: string;
}

// Only what would cover the editor, reach for the network or do on its own what a test does: nothing of Remask, nothing
// about suggestions.
const QUIET = {
  "chat.disableAIFeatures": true,
  "extensions.autoCheckUpdates": false,
  "files.autoSave": "off",
  "security.workspace.trust.banner": "never",
  "security.workspace.trust.startupPrompt": "never",
  "telemetry.telemetryLevel": "off",
  "update.mode": "none",
  "window.restoreWindows": "none",
  "workbench.quickOpen.closeOnFocusLost": false,
  "workbench.secondarySideBar.defaultVisibility": "hidden",
  "workbench.startupEditor": "none",
  "workbench.tips.enabled": false,
};

export class CodeServer {
  readonly root = mkdtempSync(join(tmpdir(), "remask-e2e-"));
  readonly workspace = join(this.root, "shop");
  readonly #run = randomUUID();
  #process: ChildProcess | undefined;
  #port = 0;

  static async start(profile: Profile): Promise<CodeServer> {
    const server = new CodeServer();
    try {
      await server.#start(profile);
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${String(this.#port)}/?folder=${encodeURIComponent(this.workspace)}`;
  }

  /** Reads a file of the workspace as it is on disk. */
  read(name: string): string {
    return readFileSync(join(this.workspace, name), "utf8");
  }

  write(name: string, text: string): void {
    const file = join(this.workspace, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }

  /** The extension's log; "" where VS Code could not write one (`.tools` without a C++ compiler). */
  log(): string {
    const folder = join(this.root, "data", "logs");
    const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith("Remask.log"));
    return names
      .sort()
      .map((name) => readFileSync(join(folder, name), "utf8"))
      .join("\n");
  }

  /** Ids of this run's processes whose command line has all these words. */
  processes(...words: string[]): number[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => {
        try {
          const environment = readFileSync(`/proc/${String(pid)}/environ`, "utf8");
          const command = readFileSync(`/proc/${String(pid)}/cmdline`, "utf8").split("\0");
          return environment.includes(`${MARK}=${this.#run}`) && words.every((word) => command.includes(word));
        } catch {
          return false; // it ended while we looked
        }
      });
  }

  /** Ends every process of this run, the engine included, and removes the profile. */
  async stop(): Promise<void> {
    const end = (signal: NodeJS.Signals): void => {
      for (const pid of this.processes()) {
        try {
          process.kill(pid, signal);
        } catch {
          // it ended by itself
        }
      }
    };
    end("SIGTERM");
    await until("the processes to end", () => this.processes().length === 0, 10_000).catch(async () => {
      end("SIGKILL");
      await until("the killed processes to end", () => this.processes().length === 0, 10_000); // they write to the profile
    });
    rmSync(this.root, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }

  async #start(profile: Profile): Promise<void> {
    const [home, data, extensions] = ["home", "data", "extensions"].map((name) => join(this.root, name)) as [string, string, string];
    mkdirSync(home);
    mkdirSync(join(data, "User"), { recursive: true });
    writeFileSync(join(data, "User", "settings.json"), JSON.stringify({ ...QUIET, ...profile.settings }));
    for (const [name, text] of Object.entries(profile.files)) {
      this.write(name, text);
    }
    if (profile.serverOnPath) {
      // VS Code takes PATH from a login shell, as a person's profile sets it.
      writeFileSync(join(home, ".bash_profile"), `export PATH="${dirname(findPython())}:$PATH"\n`);
    }
    const environment = {
      HOME: home,
      LANG: "C.UTF-8",
      PATH: "/usr/local/bin:/usr/bin:/bin",
      SHELL: "/bin/bash",
      XDG_RUNTIME_DIR: join(this.root, "run"),
      [MARK]: this.#run,
    };
    mkdirSync(environment.XDG_RUNTIME_DIR, { mode: 0o700 });
    const folders = ["--user-data-dir", data, "--extensions-dir", extensions];
    const vsix = profile.vsix ?? join(extensionFolder, "out", `remask-${manifest.version}.vsix`);
    execFileSync(nodeBinary, [codeServerEntry, ...folders, "--install-extension", vsix], { env: environment, stdio: "pipe" });

    this.#port = await freePort();
    const quiet = ["--auth", "none", "--disable-telemetry", "--disable-update-check"];
    const trust = profile.asksForTrust === true ? [] : ["--disable-workspace-trust"];
    const address = ["--bind-addr", `127.0.0.1:${String(this.#port)}`];
    let output = "";
    this.#process = spawn(nodeBinary, [codeServerEntry, ...folders, ...quiet, ...trust, ...address, this.workspace], {
      env: environment,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process.stdout?.on("data", (chunk: Buffer) => (output += chunk.toString()));
    this.#process.stderr?.on("data", (chunk: Buffer) => (output += chunk.toString()));
    await until(
      "code-server to listen",
      async () => {
        if (this.#process?.exitCode !== null) {
          throw new Error(`code-server ended:\n${output}`);
        }
        return await fetch(`http://127.0.0.1:${String(this.#port)}/healthz`).then(
          ({ ok }) => ok,
          () => false,
        );
      },
      180_000,
    );
  }
}

/** A port that nothing listens on. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => {
        resolve(typeof address === "object" && address !== null ? address.port : 0);
      });
    });
  });
}
