/**
 * Writes into package.json what the server declares: its settings (`remask lsp --settings-schema`), the languages that
 * activate the extension and the server's names of them (the registry of `grammars`). With `--check` it writes nothing
 * and fails on a difference.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { extensionFolder, findPython, repositoryFolder } from "./paths.mjs";

const TITLE = "Remask";
// What keeps files and secrets from being read or shown: not for a folder that is not trusted to lift.
const GUARDS = ["remask.exclude", "remask.respectGitignore", "remask.withholdSecrets"];
const LANGUAGE_NAMES = `
import json
from grammars.registry import LANGUAGES
print(json.dumps({i: language.name for language in LANGUAGES for i in language.language_ids}))
`;

/** @param {string[]} args @returns {any} */
function python(args) {
  return JSON.parse(execFileSync(findPython(), args, { cwd: repositoryFolder, encoding: "utf8" }));
}

const { properties } = python(["-m", "engine.cli.main", "lsp", "--settings-schema"]);
const languageNames = /** @type {Record<string, string>} */ (python(["-c", LANGUAGE_NAMES]));
const languageIds = Object.keys(languageNames);

const file = join(extensionFolder, "package.json");
const manifest = JSON.parse(readFileSync(file, "utf8"));
const before = JSON.stringify(manifest);

manifest.activationEvents = languageIds.map((id) => `onLanguage:${id}`);
manifest.languageNames = languageNames;
const section = manifest.contributes.configuration.find((/** @type {{ title: string }} */ s) => s.title === TITLE);
section.properties = Object.fromEntries(
  Object.entries(properties).map(([name, property], i) => [name, { .../** @type {object} */ (property), order: i + 1 }]),
);
// A folder that is not trusted may not say which program answers, even if a setting's scope should ever be widened.
const all = Object.entries({ ...manifest.contributes.configuration[0].properties, ...section.properties });
manifest.capabilities.untrustedWorkspaces.restrictedConfigurations = all
  .filter(([name, property]) => /** @type {{ scope?: string }} */ (property).scope === "machine" || GUARDS.includes(name))
  .map(([name]) => name);

if (JSON.stringify(manifest) === before) {
  console.log(`package.json agrees with the server: ${Object.keys(properties).length} settings, ${languageIds.join(", ")}`);
} else if (process.argv.includes("--check")) {
  console.error("package.json differs from what the server declares: run `npm run from-server` and commit the result");
  process.exit(1);
} else {
  writeFileSync(file, `${JSON.stringify(manifest, null, 2)}\n`);
  console.log("package.json updated from the server");
}
