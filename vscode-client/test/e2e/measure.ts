/**
 * Measures, in a real VS Code, the time from a key pressed to ghost text painted, beside the engine's own time.
 *
 * At places of a real Python file the rest of the line is removed and the character before it typed anew. Both clocks
 * are those of the programs themselves: the browser's for key and paint, the engine's for its answer (the server's log).
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findPython } from "../../scripts/paths.mjs";
import { Desk } from "./harness/desk.js";
import { lacking } from "./harness/requirements.js";

const WANTED = Number(process.env.REMASK_SAMPLES ?? 60);
const GIVE_UP_MS = 4_000;
// VS Code's own debounce of inline completions (`InlineCompletionsDebounce`, fixed): no extension can change it.
const VSCODE_WAITS_MS = 50;
const REST_MS = 700; // a person who moves the cursor looks before typing; the server reads the context meanwhile

interface Sample {
  /** From key to paint; null when no ghost text came. */
  readonly seenMs: number | null;
  /** The engine's own time; null when the answer came from the server's memory of the last one. */
  readonly engineMs: number | null;
}

/** Places in `text` just behind a dot, an opening parenthesis or `= `: 1-based line and column. */
function placesIn(text: string): { line: number; column: number }[] {
  const found = text.split("\n").flatMap((row, i) => {
    const before = /^ {4,}[^#"'\s][^#"']*?(?:\.|\(|= )(?=\w)/.exec(row);
    return before ? [{ line: i + 1, column: before[0].length + 1 }] : [];
  });
  const step = Math.max(1, Math.floor(found.length / WANTED));
  return found.filter((_, i) => i % step === 0).slice(0, WANTED);
}

/** Runs in the page: `ghostSeen` settles when ghost text is painted after the next key. */
function watchForGhostText(giveUpMs: number): void {
  const page = window as unknown as { ghostSeen: Promise<number | null> };
  page.ghostSeen = new Promise((resolve) => {
    document.addEventListener(
      "keydown",
      () => {
        const pressed = performance.now();
        const finish = (seen: number | null): void => {
          observer.disconnect();
          clearTimeout(timer);
          resolve(seen);
        };
        const observer = new MutationObserver(() => {
          if (document.querySelector('.monaco-editor .view-line [class*="ghost-text"]') !== null) {
            observer.disconnect();
            requestAnimationFrame(() => {
              finish(performance.now() - pressed);
            });
          }
        });
        const timer = setTimeout(() => {
          finish(null);
        }, giveUpMs);
        observer.observe(document.body, { subtree: true, childList: true, attributes: true });
      },
      { capture: true, once: true },
    );
  });
}

async function sample(desk: Desk, name: string, log: string, text: string, place: { line: number; column: number }): Promise<Sample> {
  const { page } = desk.workbench;
  const last = text.split("\n")[place.line - 1]?.[place.column - 2] ?? "";
  await desk.workbench.openFile(name, place.line, place.column - 1);
  await desk.workbench.press("Shift+End", "Delete");
  await page.waitForTimeout(REST_MS);
  const before = engineTimes(log).length;
  await page.evaluate(watchForGhostText, GIVE_UP_MS);
  await page.keyboard.type(last);
  const seenMs = await page.evaluate(() => (window as unknown as { ghostSeen: Promise<number | null> }).ghostSeen);
  await page.waitForTimeout(100); // for the log to be written
  const engineMs = engineTimes(log)[before] ?? null;
  await desk.workbench.press("Escape", "Control+z", "Control+z");
  await page.waitForTimeout(300);
  return { seenMs, engineMs };
}

function engineTimes(log: string): number[] {
  const text = existsSync(log) ? readFileSync(log, "utf8") : "";
  return [...text.matchAll(/suggestions in (\d+(?:\.\d+)?) ms/g)].map(([, ms]) => Number(ms));
}

function quantile(values: readonly number[], q: number): string {
  const sorted = [...values].sort((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
  return value === undefined ? "-" : value.toFixed(0);
}

function row(what: string, values: readonly number[]): string {
  return `| ${what} | ${String(values.length)} | ${quantile(values, 0.5)} | ${quantile(values, 0.95)} |`;
}

const reason = lacking();
if (reason !== null) {
  console.log(`not measured: ${reason}`);
  process.exit(0);
}
const source = execFileSync(findPython(), ["-c", "import textwrap; print(textwrap.__file__)"], { encoding: "utf8", cwd: "/" });
const text = readFileSync(source.trim(), "utf8");
const folder = mkdtempSync(join(tmpdir(), "remask-measure-"));
const log = join(folder, "server.log");
const desk = await Desk.open({
  files: { "textwrap.py": text, "warm.py": "import json\n\n\ndef load(path):\n" },
  serverOnPath: true,
  settings: { "remask.log.file": log, "remask.log.level": "debug" },
});
try {
  await desk.workbench.openFile("warm.py", 5, 1);
  await desk.workbench.waitForStatus(/ready/, 180_000);
  await desk.workbench.ask("    with ");
  const samples: Sample[] = [];
  for (const place of placesIn(text)) {
    samples.push(await sample(desk, "textwrap.py", log, text, place));
  }
  const shown = samples.flatMap(({ seenMs, engineMs }) => (seenMs === null || engineMs === null ? [] : [{ seenMs, engineMs }]));
  console.log(`Places: ${String(samples.length)}; ghost text at ${String(samples.filter(({ seenMs }) => seenMs !== null).length)}.`);
  console.log("\n| in milliseconds | samples | median | p95 |\n|---|---|---|---|");
  console.log(row("key to ghost text, in the browser", shown.map(({ seenMs }) => seenMs)));
  console.log(row("the engine's own time", shown.map(({ engineMs }) => engineMs)));
  console.log(row("the rest: editor, client, server, painting", shown.map(({ seenMs, engineMs }) => seenMs - engineMs)));
  console.log(row("the rest without the 50 that VS Code waits", shown.map(({ seenMs, engineMs }) => seenMs - engineMs - VSCODE_WAITS_MS)));
  const kept = samples.flatMap(({ seenMs, engineMs }) => (seenMs !== null && engineMs === null ? [seenMs] : []));
  console.log(row("key to ghost text, answered without the engine", kept));
} finally {
  await desk.close();
  rmSync(folder, { recursive: true, force: true });
}
