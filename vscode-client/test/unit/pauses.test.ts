import assert from "node:assert/strict";
import { test } from "node:test";
import { Pauses } from "../../src/pauses.js";
import type { Server } from "../../src/server.js";

/** A server that only notes what it was told. */
function made(): { pauses: Pauses; told: string[] } {
  const told: string[] = [];
  const execute = (command: string, ...args: unknown[]): Promise<unknown> => {
    told.push([command, ...args].join(" "));
    return Promise.resolve();
  };
  return { pauses: new Pauses({ execute } as unknown as Server), told };
}

test("resuming everything resumes each language too, as the server does", async () => {
  const { pauses, told } = made();
  await pauses.pause("python");
  await pauses.pause();
  await pauses.resume();
  assert.deepEqual([...pauses.languages], []);
  told.length = 0;
  await pauses.repeat();
  assert.deepEqual(told, []);
});

test("what is one language to the server is paused and resumed together", async () => {
  const { pauses } = made();
  await pauses.pause("javascriptreact");
  assert.deepEqual([...pauses.languages].sort(), ["javascript", "javascriptreact"]);
  await pauses.resume("javascript");
  assert.deepEqual([...pauses.languages], []);
  await pauses.pause("typescript");
  assert.deepEqual([...pauses.languages], ["typescript"], "TSX has a grammar of its own");
});

test("a new server is told what was paused", async () => {
  const { pauses, told } = made();
  await pauses.pause("python");
  await pauses.pause();
  told.length = 0;
  await pauses.repeat();
  assert.deepEqual(told, ["remask.pause python", "remask.pause"]);
});
