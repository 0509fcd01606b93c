/** What a run in a real VS Code needs, and what of it this machine lacks. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { codeServerEntry, findChromium, findPython, nodeBinary } from "../../../scripts/paths.mjs";

/** Why the suite cannot run here; null when it can. With `REMASK_E2E=required` a lack is an error instead. */
export function lacking(): string | null {
  const lacks: string[] = [];
  if (!existsSync(nodeBinary) || !existsSync(codeServerEntry)) {
    lacks.push("Node 24 and code-server: run `npm run tools`");
  }
  if (findChromium() === null) {
    lacks.push("Chromium: install it (Debian: `apt-get install chromium`) or set REMASK_CHROMIUM");
  }
  try {
    execFileSync(findPython(), ["-c", "import engine, lsp_server"], { stdio: "ignore", cwd: "/" });
  } catch {
    lacks.push("the remask package: `make setup` in the repository, or set REMASK_PYTHON");
  }
  if (lacks.length === 0) {
    return null;
  }
  const reason = `this machine lacks ${lacks.join("; ")}`;
  if (process.env.REMASK_E2E === "required") {
    throw new Error(reason);
  }
  return reason;
}
