/**
 * Recognises that part of a suggestion was accepted (by word or by line). Pure.
 *
 * VS Code tells a language client nothing about that, but the edit itself gives it away: at the place of the
 * suggestion, several characters that begin it appear at once. One character may just as well have been typed.
 */

/** A suggestion as it was last shown: `text` is what is still to come at `line`, `character` (UTF-16). */
export interface Shown {
  readonly text: string;
  readonly line: number;
  readonly character: number;
}

/** A change of a document: `text` inserted at a place, with `removed` characters replaced. */
export interface Change {
  readonly text: string;
  readonly line: number;
  readonly character: number;
  readonly removed: number;
}

/** The number of characters of `shown` that this change accepted; 0 when it did not accept a part of it. */
export function partlyAccepted(shown: Shown, change: Change): number {
  const atPlace = change.line === shown.line && change.character === shown.character && change.removed === 0;
  const isPart = change.text.length > 1 && change.text.length < shown.text.length && shown.text.startsWith(change.text);
  return atPlace && isPart ? change.text.length : 0;
}
