import assert from "node:assert/strict";
import { test } from "node:test";
import { frames } from "../../src/denoising/frames.js";

const RESULT = {
  steps: [
    { kind: "unmask", tokens: ["json", null, null], changed: [0] },
    { kind: "unmask", tokens: ["json", ".", ")"], changed: [1, 2] },
    { kind: "renoise", tokens: ["json", ".", null], changed: [2] },
    { kind: "unmask", tokens: ["json", ".", "load"], changed: [2] },
  ],
  text: "json.load",
};

test("each step is a frame, and the result is the last", () => {
  const drawn = frames(RESULT);
  assert.deepEqual(
    drawn.map(({ title }) => title),
    ["Unmask", "Unmask", "Sent back by the parser", "Unmask", "Result"],
  );
  assert.deepEqual(drawn.at(-1)?.cells, [{ text: "json.load", look: "known" }]);
});

test("what a step decided is told from what was known and from masks", () => {
  const [first, second] = frames(RESULT);
  assert.ok(first);
  assert.deepEqual(
    first.cells.map(({ look }) => look),
    ["decided", "mask", "mask"],
  );
  assert.deepEqual(
    second?.cells.map(({ look }) => look),
    ["known", "decided", "decided"],
  );
  assert.equal(first.told, "1 decided, 2 still masked.");
});

test("what the parser sent back is shown with the text that it refused", () => {
  const sentBack = frames(RESULT)[2];
  assert.ok(sentBack);
  assert.deepEqual(sentBack.cells[2], { text: ")", look: "sentBack" });
  assert.equal(sentBack.told, "1 sent back to noise.");
});

test("no steps, no frames; and an empty result says that nothing held up", () => {
  assert.deepEqual(frames({ steps: [], text: "" }), []);
  const drawn = frames({ steps: [{ kind: "verify", tokens: ["x"], changed: [0] }], text: "" });
  assert.equal(drawn.at(-1)?.told, "Nothing held up: no suggestion is shown.");
});
