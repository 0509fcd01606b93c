import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../../src/backoff.js";

test("each early death waits longer, and the sixth gives up", () => {
  const backoff = new Backoff();
  const waits = Array.from({ length: 6 }, () => backoff.next(500));
  assert.deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 16_000, null]);
});

test("a server that lived a minute starts the count anew", () => {
  const backoff = new Backoff();
  backoff.next(10);
  backoff.next(10);
  assert.equal(backoff.next(61_000), 1_000);
});

test("a person's restart forgets the failures", () => {
  const backoff = new Backoff();
  while (backoff.next(10) !== null);
  backoff.reset();
  assert.equal(backoff.next(10), 1_000);
});
