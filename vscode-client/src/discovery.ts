/** Where the server may be, best place first. Pure: facts in, candidates out. */
import { posix, win32 } from "node:path";

/** Everything that decides where to look. */
export interface Facts {
  readonly platform: NodeJS.Platform;
  /** The PATH variable. */
  readonly path: string;
  readonly home: string;
  /** The machine-scoped settings `remask.server.path` and `remask.server.interpreter`; "" when unset. */
  readonly serverPath: string;
  readonly interpreter: string;
  /** Whether the person trusts the workspace. If not, nothing inside it is run. */
  readonly trusted: boolean;
  readonly workspaceFolders: readonly string[];
  /** The interpreter that the Python extension has chosen, if any. */
  readonly activeInterpreter: string | undefined;
  /** Folder of the private environment, whether it exists or not. */
  readonly privateEnvironment: string;
  readonly isFile: (path: string) => boolean;
}

/** A command line that may be a Remask server (`lsp` or `--version` goes behind `args`). */
export interface Candidate {
  readonly command: string;
  readonly args: readonly string[];
  /** Where it comes from, to be read in a log or a message. */
  readonly origin: string;
}

/** What was found, or the reason why a setting makes the search pointless. */
export type Places = { readonly candidates: readonly Candidate[] } | { readonly problem: string };

// `-P` keeps the current folder out of sys.path: a folder named `engine` in someone's project must not be imported.
export const MODULE: readonly string[] = ["-P", "-m", "engine.cli.main"];
const ENVIRONMENT_FOLDERS = [".venv", "venv", "env"];

/** Where to look, in order. A setting that is set is the only place: falling through would hide a typing error. */
export function places(facts: Facts): Places {
  const paths = facts.platform === "win32" ? win32 : posix;
  const expand = (path: string): string => path.replace(/^~(?=$|[\\/])/, facts.home);

  const program = (environment: string): string =>
    facts.platform === "win32" ? paths.join(environment, "Scripts", "remask.exe") : paths.join(environment, "bin", "remask");

  for (const [setting, value] of [
    ["remask.server.path", facts.serverPath],
    ["remask.server.interpreter", facts.interpreter],
  ] as const) {
    const file = expand(value.trim());
    if (file === "") {
      continue;
    }
    if (!paths.isAbsolute(file)) {
      return { problem: `The setting ${setting} must be an absolute path, not "${value}".` };
    }
    if (!facts.isFile(file)) {
      return { problem: `The setting ${setting} names ${file}, but there is no such file.` };
    }
    const args = setting === "remask.server.interpreter" ? MODULE : [];
    return { candidates: [{ command: file, args, origin: `the setting ${setting}` }] };
  }

  const candidates: Candidate[] = [];
  if (facts.trusted) {
    if (facts.activeInterpreter !== undefined && paths.isAbsolute(facts.activeInterpreter)) {
      candidates.push({
        command: facts.activeInterpreter,
        args: MODULE,
        origin: "the interpreter chosen in the Python extension",
      });
    }
    for (const folder of facts.workspaceFolders) {
      for (const name of ENVIRONMENT_FOLDERS) {
        const environment = paths.join(folder, name);
        candidates.push({ command: program(environment), args: [], origin: `the environment ${environment}` });
      }
    }
  }
  for (const folder of facts.path.split(paths.delimiter)) {
    // A relative entry of PATH would mean the current folder: never run what happens to lie there.
    if (paths.isAbsolute(folder) && (facts.trusted || !isInside(folder, facts.workspaceFolders, facts.platform))) {
      const name = facts.platform === "win32" ? "remask.exe" : "remask";
      candidates.push({ command: paths.join(folder, name), args: [], origin: "PATH" });
    }
  }
  candidates.push({
    command: program(facts.privateEnvironment),
    args: [],
    origin: "the private environment of the extension",
  });

  const seen = new Set<string>();
  return {
    candidates: candidates.filter(({ command }) => {
      const fresh = !seen.has(command);
      seen.add(command);
      return fresh && facts.isFile(command);
    }),
  };
}

function isInside(path: string, folders: readonly string[], platform: NodeJS.Platform): boolean {
  const paths = platform === "win32" ? win32 : posix;
  return folders.some((folder) => {
    const rest = paths.relative(folder, path);
    return !rest.startsWith("..") && !paths.isAbsolute(rest);
  });
}

/** The version in the output of `remask --version`; null when something else was printed. */
export function versionIn(output: string): string | null {
  return /^remask (\S+)\s*$/m.exec(output)?.[1] ?? null;
}
