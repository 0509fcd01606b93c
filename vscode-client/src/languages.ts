/** The languages that the server knows, as VS Code names them. */
import type { DocumentFilter } from "vscode-languageclient/node";

// The manifest says when to activate, and is generated from the server's registry: one list, not two.
import { activationEvents } from "../package.json";

export const LANGUAGES: readonly string[] = activationEvents
  .filter((event) => event.startsWith("onLanguage:"))
  .map((event) => event.slice("onLanguage:".length));

export const NOTEBOOK_CELL = "vscode-notebook-cell";

/** Schemes of the documents that the server is told of. */
export const SCHEMES: readonly string[] = ["file", "untitled", NOTEBOOK_CELL];

/** Files, untitled buffers and notebook cells in a language that the server knows. */
export const SELECTOR: DocumentFilter[] = LANGUAGES.flatMap((language) =>
  SCHEMES.map((scheme) => ({ language, scheme })),
);
