/** Promises that the manifest makes, checked where they can be read. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import manifest from "../../package.json";
import * as protocol from "../../src/protocol.js";

const { commands, keybindings, configuration, menus } = manifest.contributes;
const settings = Object.assign({}, ...configuration.map(({ properties }) => properties)) as Record<
  string,
  { scope?: string; description?: string; markdownDescription?: string }
>;

test("no palette command has the id of a command of the server", () => {
  const own = commands.map(({ command }) => command);
  const servers = Object.values(protocol).filter((value) => value.startsWith("remask."));
  assert.ok(servers.length >= 5);
  assert.deepEqual(
    own.filter((id) => servers.includes(id as never)),
    [],
  );
});

test("what says which program runs is machine-scoped and restricted in untrusted folders", () => {
  const restricted = manifest.capabilities.untrustedWorkspaces.restrictedConfigurations;
  for (const name of ["remask.server.path", "remask.server.interpreter", "remask.server.package", "remask.engine.model", "remask.engine.url", "remask.engine.fallback"]) {
    assert.equal(settings[name]?.scope, "machine", name);
    assert.ok(restricted.includes(name), name);
  }
});

test("an untrusted folder cannot lift what keeps files and secrets from being read or shown", () => {
  const restricted = manifest.capabilities.untrustedWorkspaces.restrictedConfigurations;
  for (const name of ["remask.exclude", "remask.respectGitignore", "remask.withholdSecrets"]) {
    assert.ok(settings[name], name);
    assert.ok(restricted.includes(name), name);
  }
});

test("every setting is described", () => {
  for (const [name, { description, markdownDescription }] of Object.entries(settings)) {
    assert.ok((description ?? markdownDescription ?? "").length > 10, name);
  }
});

test("no key takes Tab, and each leaves the suggest widget, snippets and what cannot be edited alone", () => {
  for (const { key, when } of keybindings) {
    assert.doesNotMatch(key, /tab|enter|escape/i);
    assert.match(when, /editorTextFocus && /);
    for (const condition of ["!suggestWidgetVisible", "!inSnippetMode", "!editorReadonly", "remask.running"]) {
      assert.ok(when.split(" && ").includes(condition), `${key}: ${condition}`);
    }
  }
});

test("menus and the walkthrough name commands that exist", () => {
  const ids = new Set(commands.map(({ command }) => command));
  const text = JSON.stringify([menus, manifest.contributes.walkthroughs]);
  const named = [...text.matchAll(/remask\.ui\.\w+/g)].map(([id]) => id);
  assert.ok(named.length > 3);
  assert.deepEqual(
    named.filter((id) => !ids.has(id)),
    [],
  );
});

test("every context key that the manifest waits for is set by the extension", () => {
  const source = readdirSync("src").map((name) => (name.endsWith(".ts") ? readFileSync(join("src", name), "utf8") : ""));
  const set = [...source.join("\n").matchAll(/"setContext", "(remask\.\w+)"/g)].map(([, key]) => key);
  const events = manifest.contributes.walkthroughs.flatMap(({ steps }) => steps).flatMap((step) => step.completionEvents);
  const conditions = [...commands.map(({ enablement }) => enablement ?? ""), ...keybindings.map(({ when }) => when)];
  const read = [
    ...events.filter((event) => event.startsWith("onContext:")).map((event) => event.slice("onContext:".length)),
    ...conditions.flatMap((condition) => condition.match(/remask\.\w+/g) ?? []),
  ];
  assert.ok(read.length > 3);
  assert.deepEqual(
    read.filter((key) => !set.includes(key)),
    [],
  );
});
