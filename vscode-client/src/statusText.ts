/** What the status bar says. Pure. */
import type { StatusParams } from "./protocol.js";

/** The client's own states (no server yet) and those that the server reports. */
export type Status = Omit<StatusParams, "state"> & {
  readonly state: StatusParams["state"] | "missing" | "starting" | "restarting";
};

/** What the status bar item depends on. */
export interface Situation {
  readonly status: Status;
  /** Language of the active editor, or null when none is active. */
  readonly languageId: string | null;
  readonly known: readonly string[];
  /** Whether everything is paused, not only some languages: a server that is ready says "paused" for both. */
  readonly pausedEverywhere: boolean;
  readonly pausedLanguages: ReadonlySet<string>;
  readonly trusted: boolean;
}

/** A status bar item: a codicon and a word, plain text for screen readers, Markdown for the hover. */
export interface Look {
  readonly text: string;
  readonly label: string;
  readonly hover: string;
  readonly tone: "plain" | "warning" | "error";
}

const LOOKS: Record<Status["state"], readonly [icon: string, says: string, tone: Look["tone"]]> = {
  missing: ["warning", "no server found", "warning"],
  starting: ["loading~spin", "starting the server", "plain"],
  restarting: ["loading~spin", "the server stopped and is being started again", "plain"],
  loading: ["loading~spin", "loading the model", "plain"],
  ready: ["wand", "ready", "plain"],
  thinking: ["sync~spin", "thinking", "plain"],
  paused: ["debug-pause", "paused", "plain"],
  error: ["error", "something is wrong", "error"],
  off: ["circle-slash", "off", "plain"],
};

/** Look of the status bar item in a situation. */
export function look({ status, languageId, known, pausedEverywhere, pausedLanguages, trusted }: Situation): Look {
  const state = status.state === "paused" && !pausedEverywhere ? "ready" : status.state;
  const [icon, word, tone] = LOOKS[state];
  let shownIcon = icon;
  let says = word;
  if (state === "ready" || state === "thinking") {
    if (languageId !== null && !known.includes(languageId)) {
      [shownIcon, says] = ["circle-slash", `ready, but does not know the language "${languageId}"`];
    } else if (languageId !== null && pausedLanguages.has(languageId)) {
      [shownIcon, says] = ["debug-pause", `paused for ${languageId}`];
    } else if (status.engine === "fallback") {
      [shownIcon, says] = ["debug-disconnect", "the team's engine is out of reach, this machine's answers"];
    }
  }
  const lines = [`**Remask**: ${escape(says)}`];
  if (status.message) {
    lines.push(escape(status.message));
  }
  const facts = [
    status.model ? `model ${escape(status.model)}` : "",
    status.device ? `device ${escape(status.device)}` : "",
    typeof status.medianMs === "number" ? `median ${status.medianMs.toFixed(0)} ms` : "",
  ].filter(Boolean);
  if (facts.length > 0) {
    lines.push(facts.join(" · "));
  }
  if (status.engine === "team" && status.host) {
    lines.push(`The team's engine at ${escape(status.host)}: the text of the file that you are in is sent there.`);
  }
  if (says !== word && shownIcon === "circle-slash") {
    lines.push(`It completes and repairs ${known.join(", ")}.`);
  }
  if (!trusted) {
    lines.push("This folder is not trusted: its Python environment is left alone.");
  }
  lines.push("Click for the menu.");
  return { text: `$(${shownIcon}) Remask`, label: `Remask: ${says}`, hover: lines.join("\n\n"), tone };
}

function escape(text: string): string {
  return text.replace(/[\\`*_{}[\]()#+\-.!|<>$]/g, "\\$&");
}
