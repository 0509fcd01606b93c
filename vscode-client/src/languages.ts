/** The languages that the server knows, as VS Code names them. */
import type { DocumentFilter } from "vscode-languageclient/node";

// The manifest has them from the server's registry: one list, not two.
import { languageNames } from "../package.json";

const NAMES: Readonly<Record<string, string | undefined>> = languageNames;

export const LANGUAGES: readonly string[] = Object.keys(NAMES);

/** All identifiers of what is one language to the server: to it, `javascriptreact` is JavaScript. */
export function sameLanguage(languageId: string): readonly string[] {
  return LANGUAGES.filter((id) => NAMES[id] === NAMES[languageId]);
}

export const NOTEBOOK_CELL = "vscode-notebook-cell";

/** Schemes of the documents that the server is told of. */
export const SCHEMES: readonly string[] = ["file", "untitled", NOTEBOOK_CELL];

/** Files, untitled buffers and notebook cells in a language that the server knows. */
export const SELECTOR: DocumentFilter[] = LANGUAGES.flatMap((language) =>
  SCHEMES.map((scheme) => ({ language, scheme })),
);
