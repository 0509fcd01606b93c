import assert from "node:assert/strict";
import { test } from "node:test";
import { isRecentEnough, pythonNames, pythonVersion } from "../../src/pythons.js";

test("a version is read from what Python prints", () => {
  assert.deepEqual(pythonVersion("\nPython 3.12.4\n"), [3, 12]);
  assert.equal(pythonVersion("Python was not found; run without arguments to install from the Store"), null);
});

test("3.11 is the oldest that will do", () => {
  assert.equal(isRecentEnough([3, 10]), false);
  assert.equal(isRecentEnough([3, 11]), true);
  assert.equal(isRecentEnough([4, 0]), true);
  assert.equal(isRecentEnough([2, 12]), false);
});

test("Windows asks its launcher first", () => {
  assert.deepEqual(pythonNames("win32")[0], ["py", "-3"]);
  assert.deepEqual(pythonNames("linux")[0], ["python3"]);
});
