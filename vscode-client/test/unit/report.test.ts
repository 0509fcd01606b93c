import assert from "node:assert/strict";
import { test } from "node:test";
import { report } from "../../src/report.js";

test("a text is shown as it is", () => {
  assert.equal(report("device: cpu\nmodel: smol"), "device: cpu\nmodel: smol");
});

test("a table has one line a value, nested tables are indented, nothing is lost", () => {
  assert.equal(
    report({ shown: 12, accepted: 3, engine: { device: "cpu", model: null }, languages: ["python", "tsx"] }),
    ["shown     12", "accepted  3", "engine", "  device  cpu", "  model   -", "languages", "  - python", "  - tsx"].join("\n"),
  );
});
