import assert from "node:assert/strict";
import { test } from "node:test";
import { type Facts, places, versionIn } from "../../src/discovery.js";

/** Facts about a machine where exactly these files exist. */
function facts(files: readonly string[], change: Partial<Facts> = {}): Facts {
  return {
    platform: "linux",
    path: "/usr/bin:/bin",
    home: "/home/ada",
    serverPath: "",
    interpreter: "",
    trusted: true,
    workspaceFolders: ["/code/shop"],
    activeInterpreter: undefined,
    privateEnvironment: "/home/ada/.ext/environment",
    isFile: (path) => files.includes(path),
    ...change,
  };
}

function commands(given: Facts): string[] {
  const found = places(given);
  assert.ok("candidates" in found, JSON.stringify(found));
  return found.candidates.map(({ command, args }) => [command, ...args].join(" "));
}

const EVERYWHERE = [
  "/opt/py/bin/python",
  "/code/shop/.venv/bin/remask",
  "/usr/bin/remask",
  "/home/ada/.ext/environment/bin/remask",
];

test("the chosen interpreter comes before the folder's environment, PATH and the private environment", () => {
  const found = commands(facts(EVERYWHERE, { activeInterpreter: "/opt/py/bin/python" }));
  assert.deepEqual(found, [
    "/opt/py/bin/python -P -m engine.cli.main",
    "/code/shop/.venv/bin/remask",
    "/usr/bin/remask",
    "/home/ada/.ext/environment/bin/remask",
  ]);
});

test("an untrusted folder lends neither its environment nor its interpreter", () => {
  const found = commands(facts(EVERYWHERE, { trusted: false, activeInterpreter: "/opt/py/bin/python" }));
  assert.deepEqual(found, ["/usr/bin/remask", "/home/ada/.ext/environment/bin/remask"]);
});

test("an untrusted folder does not get in through PATH", () => {
  const path = "/code/shop/bin:.:bin::/usr/bin";
  const files = ["/code/shop/bin/remask", "bin/remask", "remask", "/usr/bin/remask"];
  assert.deepEqual(commands(facts(files, { trusted: false, path })), ["/usr/bin/remask"]);
  assert.deepEqual(commands(facts(files, { path })), ["/code/shop/bin/remask", "/usr/bin/remask"]);
});

test("a folder whose name begins like the workspace's is not inside it", () => {
  const path = "/code/shopping/bin";
  assert.deepEqual(commands(facts(["/code/shopping/bin/remask"], { trusted: false, path })), [
    "/code/shopping/bin/remask",
  ]);
});

test("the setting wins over everything else", () => {
  const files = [...EVERYWHERE, "/home/ada/bin/remask"];
  assert.deepEqual(commands(facts(files, { serverPath: "~/bin/remask" })), ["/home/ada/bin/remask"]);
});

test("a setting that names no file is a problem, not a reason to run something else", () => {
  assert.deepEqual(places(facts(EVERYWHERE, { serverPath: "/nowhere/remask" })), {
    problem: "The setting remask.server.path names /nowhere/remask, but there is no such file.",
  });
});

test("a relative path in a setting is refused", () => {
  assert.deepEqual(places(facts(["venv/bin/python"], { interpreter: "venv/bin/python" })), {
    problem: 'The setting remask.server.interpreter must be an absolute path, not "venv/bin/python".',
  });
});

test("Windows has its own names and separators", () => {
  const found = commands(
    facts(["C:\\shop\\.venv\\Scripts\\remask.exe", "C:\\tools\\remask.exe"], {
      platform: "win32",
      path: "C:\\Windows;C:\\tools",
      workspaceFolders: ["C:\\shop"],
      privateEnvironment: "C:\\ext\\environment",
    }),
  );
  assert.deepEqual(found, ["C:\\shop\\.venv\\Scripts\\remask.exe", "C:\\tools\\remask.exe"]);
});

test("a place is tried once", () => {
  assert.deepEqual(commands(facts(["/usr/bin/remask"], { path: "/usr/bin:/usr/bin" })), ["/usr/bin/remask"]);
});

test("a version is read only from Remask's own answer", () => {
  assert.equal(versionIn("remask 0.1.0\n"), "0.1.0");
  assert.equal(versionIn("warning: slow disk\nremask 0.2.0.dev1\n"), "0.2.0.dev1");
  assert.equal(versionIn("No module named engine\n"), null);
  assert.equal(versionIn("remasked 1\n"), null);
});
