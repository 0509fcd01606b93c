/** What Remask's server and client say to each other beyond the Language Server Protocol. */

export type EngineState = "loading" | "ready" | "thinking" | "paused" | "error" | "off";

/** Parameters of the notification `remask/status`, server to client. */
export interface StatusParams {
  readonly state: EngineState;
  readonly message?: string | null;
  readonly device?: string | null;
  readonly model?: string | null;
  /** Median time of the last completions, in milliseconds. */
  readonly medianMs?: number | null;
  /** Whose answers: this machine's engine, the team's at `host`, or this machine's while the team's is out of reach. */
  readonly engine?: "local" | "team" | "fallback" | null;
  readonly host?: string | null;
}

export const STATUS = "remask/status";

/** One forward pass: the middle so far, null where a token is still a mask, and the positions that this pass touched. */
export interface DenoiseStep {
  readonly kind: string;
  readonly tokens: readonly (string | null)[];
  readonly changed: readonly number[];
}

/** Answer to the request `remask/denoise`, client to server: every step on the way to `text`. */
export interface DenoiseResult {
  readonly steps: readonly DenoiseStep[];
  readonly text: string;
}

export const DENOISE = "remask/denoise";

/** Commands that the server runs (`workspace/executeCommand`). */
export const PAUSE = "remask.pause";
export const RESUME = "remask.resume";
export const STATS = "remask.stats";
export const DOCTOR = "remask.doctor";
export const ACCEPTED = "remask.accepted";
export const PARTLY_ACCEPTED = "remask.partlyAccepted";

/** Kinds of code actions. */
export const FIX_ALL = "source.fixAll.remask";
export const REWRITE = "refactor.rewrite.remask";
