/** Turns the steps of a denoising into frames that can be drawn. Pure. */
import type { DenoiseResult } from "../protocol.js";

/** A token as it looks in one frame; `text` is null for a mask. */
export interface Cell {
  readonly text: string | null;
  readonly look: "mask" | "known" | "decided" | "sentBack";
}

/** One forward pass, told in words and shown as cells. */
export interface Frame {
  readonly title: string;
  readonly told: string;
  readonly cells: readonly Cell[];
}

const TITLES: Record<string, string> = {
  draft: "Draft",
  verify: "Verify",
  unmask: "Unmask",
  renoise: "Sent back by the parser",
};

/** One frame a step, and a last one with the result. */
export function frames(result: DenoiseResult): Frame[] {
  let before: readonly (string | null)[] = [];
  const drawn = result.steps.map((step): Frame => {
    const sentBack = step.kind === "renoise";
    const cells = step.tokens.map((text, i): Cell => {
      if (sentBack && step.changed.includes(i)) {
        return { text: text ?? before[i] ?? null, look: "sentBack" };
      }
      if (text === null) {
        return { text, look: "mask" };
      }
      const isNew = step.changed.includes(i) || (before[i] ?? null) === null;
      return { text, look: isNew ? "decided" : "known" };
    });
    before = step.tokens;
    return { title: TITLES[step.kind] ?? step.kind, told: tell(cells), cells };
  });
  if (result.steps.length > 0) {
    const told =
      result.text === "" ? "Nothing held up: no suggestion is shown." : "What is left after parsing and trimming.";
    drawn.push({ title: "Result", told, cells: [{ text: result.text, look: "known" }] });
  }
  return drawn;
}

function tell(cells: readonly Cell[]): string {
  const parts: string[] = [];
  for (const [look, words] of [
    ["decided", "decided"],
    ["sentBack", "sent back to noise"],
    ["mask", "still masked"],
  ] as const) {
    const count = cells.filter((cell) => cell.look === look).length;
    if (count > 0) {
      parts.push(`${String(count)} ${words}`);
    }
  }
  return parts.length > 0 ? `${parts.join(", ")}.` : "Nothing changed.";
}
