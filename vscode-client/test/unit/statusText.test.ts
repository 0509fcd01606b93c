import assert from "node:assert/strict";
import { test } from "node:test";
import { type Situation, type Status, look } from "../../src/statusText.js";

function seen(status: Status, change: Partial<Situation> = {}): ReturnType<typeof look> {
  return look({
    status,
    languageId: "python",
    known: ["python", "typescript"],
    pausedEverywhere: false,
    pausedLanguages: new Set(),
    trusted: true,
    ...change,
  });
}

test("the hover names model, device and median", () => {
  const { text, hover, tone } = seen({ state: "ready", model: "smol", device: "cpu", medianMs: 141.6 });
  assert.equal(text, "$(wand) Remask");
  assert.equal(tone, "plain");
  assert.match(hover, /model smol · device cpu · median 142 ms/);
});

test("nothing is made up when the server told nothing", () => {
  assert.doesNotMatch(seen({ state: "ready", model: null, device: null, medianMs: null }).hover, /model|device|median/);
});

test("an unknown language is said so, with those that are known", () => {
  const { text, label, hover } = seen({ state: "ready" }, { languageId: "rust" });
  assert.equal(text, "$(circle-slash) Remask");
  assert.match(label, /does not know the language "rust"/);
  assert.match(hover, /python, typescript/);
});

test("a paused language looks paused only in its own files", () => {
  const pausedLanguages = new Set(["python"]);
  assert.equal(seen({ state: "ready" }, { pausedLanguages }).label, "Remask: paused for python");
  assert.equal(seen({ state: "ready" }, { pausedLanguages, languageId: "typescript" }).label, "Remask: ready");
});

test("a server that is paused for one language does not look paused everywhere", () => {
  const pausedLanguages = new Set(["python"]);
  const paused: Status = { state: "paused" };
  assert.equal(seen(paused, { pausedLanguages }).label, "Remask: paused for python");
  assert.equal(seen(paused, { pausedLanguages, languageId: "typescript" }).label, "Remask: ready");
  assert.equal(seen(paused, { pausedLanguages, pausedEverywhere: true }).label, "Remask: paused");
});

test("an error is never hidden behind the language", () => {
  const { label, tone, hover } = seen({ state: "error", message: "the model is damaged" }, { languageId: "rust" });
  assert.equal(label, "Remask: something is wrong");
  assert.equal(tone, "error");
  assert.match(hover, /the model is damaged/);
});

test("a missing server warns, and an untrusted folder is mentioned", () => {
  const { tone, hover } = seen({ state: "missing" }, { trusted: false });
  assert.equal(tone, "warning");
  assert.match(hover, /not trusted/);
});

test("a message cannot smuggle Markdown into the hover", () => {
  assert.match(seen({ state: "error", message: "[x](command:evil)" }).hover, /\\\[x\\\]\\\(command:evil\\\)/);
});

test("a team's engine is named with what is sent there", () => {
  const { text, hover } = seen({ state: "ready", engine: "team", host: "engine.example.com:8443" });
  assert.equal(text, "$(wand) Remask");
  assert.match(hover, /engine\\\.example\\\.com:8443: the text of the file that you are in is sent there/);
  assert.doesNotMatch(seen({ state: "ready", engine: "local", host: null }).hover, /sent there/);
});

test("an engine of one's own in place of the team's has another icon and says why", () => {
  const message = "engine.example.com cannot be reached; this machine's engine answers instead";
  const { text, label, hover, tone } = seen({ state: "ready", engine: "fallback", host: "engine.example.com", message });
  assert.equal(text, "$(debug-disconnect) Remask");
  assert.equal(label, "Remask: the team's engine is out of reach, this machine's answers");
  assert.match(hover, /cannot be reached/);
  assert.doesNotMatch(hover, /sent there/);
  assert.equal(tone, "plain");
});
