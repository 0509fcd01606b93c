/** Rewrites are shown in VS Code's Refactor Preview before they touch the file. */
import * as vscode from "vscode";

/** The same action, its edits marked as needing a person's consent. */
export function withPreview(action: vscode.CodeAction): vscode.CodeAction {
  if (action.edit === undefined) {
    return action;
  }
  const edit = new vscode.WorkspaceEdit();
  for (const [uri, edits] of action.edit.entries()) {
    for (const { range, newText } of edits) {
      edit.replace(uri, range, newText, { label: action.title, needsConfirmation: true });
    }
  }
  action.edit = edit;
  return action;
}
