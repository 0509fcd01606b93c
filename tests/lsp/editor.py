"""A client that keeps its own text, for tests: real messages to a real server, positions counted in its own way."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest_lsp
from lsprotocol import types as t
from pytest_lsp import LanguageClient

MARK = "<|>"
LANGUAGES = {"python": "py", "javascript": "js", "typescript": "ts", "typescriptreact": "tsx"}


def capabilities(inline: bool = True, encodings: Sequence[str] | None = None, **other: Any) -> t.ClientCapabilities:
    """What a modern editor says of itself."""
    document = t.TextDocumentClientCapabilities(
        inline_completion=t.InlineCompletionClientCapabilities() if inline else None,
        publish_diagnostics=t.PublishDiagnosticsClientCapabilities(),
        code_action=t.CodeActionClientCapabilities(
            code_action_literal_support=t.ClientCodeActionLiteralOptions(
                t.ClientCodeActionKindOptions([t.CodeActionKind.QuickFix])
            ),
            data_support=True,
            resolve_support=t.ClientCodeActionResolveOptions(["edit"]),
        ),
    )
    workspace = t.WorkspaceClientCapabilities(
        configuration=True,
        workspace_edit=t.WorkspaceEditClientCapabilities(document_changes=True),
        did_change_configuration=t.DidChangeConfigurationClientCapabilities(dynamic_registration=True),
        did_change_watched_files=t.DidChangeWatchedFilesClientCapabilities(dynamic_registration=True),
    )
    return t.ClientCapabilities(
        text_document=document,
        workspace=workspace,
        window=t.WindowClientCapabilities(work_done_progress=True),
        general=t.GeneralClientCapabilities(position_encodings=list(encodings)) if encodings else None,
        **other,
    )


class Editor:
    """One session with a server process."""

    def __init__(self, client: LanguageClient, folder: Path, encoding: str) -> None:
        self.client = client
        self.folder = folder
        self.encoding = encoding
        self.statuses: list[Any] = []
        self.registered: list[str] = []
        self._count = 0
        self.result: t.InitializeResult | None = None

    @classmethod
    async def start(
        cls,
        folder: Path,
        settings: dict[str, Any] | None = None,
        encoding: str = "utf-16",
        inline: bool = True,
        configuration: dict[str, Any] | None = None,
        client_name: str = "test",
        env: dict[str, str] | None = None,
    ) -> Editor:
        """Start a server in `folder` and say hello."""
        client = pytest_lsp.make_test_lsp_client()
        editor = cls(client, folder, encoding)
        client.set_configuration(configuration or {})  # all sections

        @client.feature("remask/status")
        def status(params: Any) -> None:
            editor.statuses.append(params)

        @client.feature(t.CLIENT_REGISTER_CAPABILITY)
        def register(params: t.RegistrationParams) -> None:
            editor.registered += [r.method for r in params.registrations]

        await client.start_io(sys.executable, "-m", "engine.cli.main", "lsp", env=os.environ | (env or {}))
        encodings = None if encoding == "utf-16" else [encoding]
        editor.result = await client.initialize_session(
            t.InitializeParams(
                capabilities=capabilities(inline, encodings),
                client_info=t.ClientInfo(client_name),
                workspace_folders=[t.WorkspaceFolder(folder.as_uri(), folder.name)],
                initialization_options=settings,
            )
        )
        return editor

    async def stop(self) -> int:
        """Say goodbye properly; the server's exit code."""
        await self.client.shutdown_session()
        assert self.client._server is not None
        code = self.client._server.returncode
        await self.client.stop()
        assert code is not None
        return code

    def open(self, marked: str, language: str = "python", name: str | None = None) -> Buffer:
        """Open a document; `<|>` in the text is where the cursor is."""
        self._count += 1
        name = name or f"file{self._count}.{LANGUAGES.get(language, 'txt')}"
        cursor = marked.find(MARK)
        text = marked.replace(MARK, "", 1)
        return Buffer(self, (self.folder / name).as_uri(), text, max(cursor, 0), language)

    async def command(self, name: str, *arguments: Any) -> Any:
        """Execute a command of the server."""
        return await self.client.workspace_execute_command_async(t.ExecuteCommandParams(name, list(arguments)))

    async def engine_completions(self) -> int:
        """How many completions the engine has computed."""
        stats = await self.command("remask.stats")
        return int(stats["engine"]["completions"])

    async def until(self, what: Any, seconds: float = 60.0) -> None:
        """Wait until `what()` holds."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, "waited in vain"
            await asyncio.sleep(0.02)

    def log(self) -> str:
        """What the server logged."""
        return "\n".join(m.message for m in self.client.log_messages)


class Buffer:
    """An open document as the client has it."""

    def __init__(self, editor: Editor, uri: str, text: str, cursor: int, language: str) -> None:
        self.editor = editor
        self.uri = uri
        self.text = text
        self.cursor = cursor
        self.version = 1
        item = t.TextDocumentItem(uri, language, 1, text)
        editor.client.text_document_did_open(t.DidOpenTextDocumentParams(item))

    def position(self, offset: int) -> t.Position:
        """A position by counting: every line break before the offset, then code units since."""
        before = self.text[:offset].replace("\r\n", "\n").replace("\r", "\n")
        if self.text[offset - 1 : offset + 1] == "\r\n":
            before = before[:-1]
        line = before.rpartition("\n")[2]
        width = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[self.editor.encoding]
        codec = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}[self.editor.encoding]
        return t.Position(before.count("\n"), len(line.encode(codec)) // width)

    def offset(self, position: t.Position) -> int:
        """The inverse, by trying."""
        return next(i for i in range(len(self.text) + 1) if self.position(i) == position)

    def range(self, start: int, end: int) -> t.Range:
        return t.Range(self.position(start), self.position(end))

    def edit(self, start: int, end: int, new: str) -> None:
        """Replace characters; the cursor goes behind what is new."""
        change = t.TextDocumentContentChangePartial(self.range(start, end), new)
        self.text = self.text[:start] + new + self.text[end:]
        self.cursor = start + len(new)
        self.version += 1
        self.editor.client.text_document_did_change(
            t.DidChangeTextDocumentParams(t.VersionedTextDocumentIdentifier(self.version, self.uri), [change])
        )

    def type(self, text: str, closer: str = "") -> None:
        """Type at the cursor, one change; `closer` is what the editor adds behind it."""
        at = self.cursor
        self.edit(at, at, text + closer)
        self.cursor = at + len(text)

    def backspace(self) -> None:
        self.edit(self.cursor - 1, self.cursor, "")

    def params(self, invoked: bool, selected: t.SelectedCompletionInfo | None = None) -> t.InlineCompletionParams:
        kind = t.InlineCompletionTriggerKind.Invoked if invoked else t.InlineCompletionTriggerKind.Automatic
        return t.InlineCompletionParams(
            t.InlineCompletionContext(kind, selected),
            t.TextDocumentIdentifier(self.uri),
            self.position(self.cursor),
        )

    async def ask(
        self, invoked: bool = False, selected: t.SelectedCompletionInfo | None = None
    ) -> list[t.InlineCompletionItem]:
        """Inline completion at the cursor."""
        answer = await self.editor.client.text_document_inline_completion_async(self.params(invoked, selected))
        items = answer.items if isinstance(answer, t.InlineCompletionList) else answer
        return list(items or [])

    def with_item(self, item: t.InlineCompletionItem) -> str:
        """The text with a suggestion accepted."""
        assert item.range is not None
        start, end = self.offset(item.range.start), self.offset(item.range.end)
        assert isinstance(item.insert_text, str)
        return self.text[:start] + item.insert_text + self.text[end:]

    def apply(self, edit: t.WorkspaceEdit) -> None:
        """Apply an edit that the server offered, and tell it so."""
        if edit.document_changes:
            (change,) = edit.document_changes
            assert isinstance(change, t.TextDocumentEdit)
            assert change.text_document.version == self.version
            edits = list(change.edits)
        else:
            assert edit.changes is not None
            edits = list(edit.changes[self.uri])
        spans = [(self.offset(e.range.start), self.offset(e.range.end), e.new_text) for e in edits]  # type: ignore
        for start, end, new in sorted(spans, reverse=True):
            self.edit(start, end, new)

    @property
    def diagnostics(self) -> list[t.Diagnostic]:
        return list(self.editor.client.diagnostics.get(self.uri, []))

    async def actions(self, offset: int, only: list[str] | None = None) -> list[t.CodeAction]:
        """Code actions at an offset."""
        found = await self.editor.client.text_document_code_action_async(
            t.CodeActionParams(
                t.TextDocumentIdentifier(self.uri),
                self.range(offset, offset),
                t.CodeActionContext(self.diagnostics, only=only),
            )
        )
        return [a for a in found or [] if isinstance(a, t.CodeAction)]

    async def fixes(self, offset: int, seconds: float = 90.0) -> list[t.CodeAction]:
        """Quick fixes at an offset, once they are known."""
        end = time.monotonic() + seconds
        while not (found := await self.actions(offset, [t.CodeActionKind.QuickFix])):
            assert time.monotonic() < end, f"no fix came: {self.diagnostics}\n{self.editor.log()}"
            await asyncio.sleep(0.05)
        return found

    async def server_has(self) -> bool:
        """Whether the server's text and version are ours."""
        answer = await self.editor.client.protocol.send_request_async(
            "remask/fingerprint", {"textDocument": {"uri": self.uri}}
        )
        own = hashlib.sha256(self.text.encode("utf-16-le", "surrogatepass")).hexdigest()
        return bool(answer.sha256 == own and answer.version == self.version)
