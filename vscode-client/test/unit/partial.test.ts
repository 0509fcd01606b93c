import assert from "node:assert/strict";
import { test } from "node:test";
import { partlyAccepted } from "../../src/partial.js";

const SHOWN = { text: "price * self.count", line: 3, character: 20 };

function after(text: string, change: { line?: number; character?: number; removed?: number } = {}): number {
  return partlyAccepted(SHOWN, { text, line: 3, character: 20, removed: 0, ...change });
}

test("a word of the suggestion counts as partly accepted", () => {
  assert.equal(after("price"), 5);
});

test("a single character may just as well have been typed", () => {
  assert.equal(after("p"), 0);
});

test("the whole suggestion is not a part of it", () => {
  assert.equal(after(SHOWN.text), 0);
});

test("other text, another place and a replacement do not count", () => {
  assert.equal(after("cost"), 0);
  assert.equal(after("price", { character: 19 }), 0);
  assert.equal(after("price", { line: 4 }), 0);
  assert.equal(after("price", { removed: 2 }), 0);
});
