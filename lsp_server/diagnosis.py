"""Broken code: when it is marked, and how its fixes come to be known before anybody asks.

After an edit has settled the document is parsed and what is broken is published, except for new problems in the
statement that is being typed: those wait until it rests or is left. Then a repair is computed in the background, so
that a code action request, which VS Code sends on every cursor move and before saving, only looks it up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lsprotocol import types

from engine.errors import CancelledError
from engine.types import RepairRequest
from grammars import Problem
from lsp_server.documents import Document, Edit, Snapshot
from lsp_server.fixes import Fix, fixes
from lsp_server.secrets import find

if TYPE_CHECKING:
    from lsp_server.session import Session

logger = logging.getLogger("remask.diagnosis")
SETTLE = 0.4  # seconds after an edit: someone who types three keys a second is not done
SOURCE = "remask"
SEVERITIES = {
    "error": types.DiagnosticSeverity.Error,
    "warning": types.DiagnosticSeverity.Warning,
    "information": types.DiagnosticSeverity.Information,
    "hint": types.DiagnosticSeverity.Hint,
}


@dataclass(slots=True)
class State:
    """What is known of one document's problems; `fixes` belong to `version`."""

    published: list[Problem] = field(default_factory=list)
    published_version: int | None = None
    held: bool = False  # a new problem waits until its statement rests or is left
    statement: tuple[int, int] = (0, 0)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[object] | None = None
    version: int | None = None
    fixes: list[Fix] = field(default_factory=list)


class Diagnosis:
    """Problems and fixes of all open documents."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._states: dict[str, State] = {}
        # To find what is wrong takes a tenth of a second in a long file, and a key may come meanwhile.
        self._apart = ThreadPoolExecutor(1, "diagnosis")

    def opened(self, document: Document) -> None:
        """Look at a document as it is, without waiting."""
        self._start(document, settle=0.0, typing=False)

    def changed(self, document: Document, edits: list[Edit]) -> None:
        """A document was edited."""
        state = self._state(document)
        state.published = _moved(state.published, edits)
        self._start(document, settle=SETTLE, typing=True)

    def cursor_moved(self, document: Document) -> None:
        """The cursor is known to be elsewhere: what was held for its statement need not wait."""
        state = self._state(document)
        if state.held and document.cursor is not None:
            first, last = state.statement
            if not first <= document.snapshot.lines.row(document.cursor) <= last:
                state.left.set()

    def closed(self, uri: str) -> None:
        """A document was closed: nothing is said of it any more."""
        state = self._states.pop(uri, None)
        if state is not None:
            if state.task is not None:
                state.task.cancel()
            if state.published:
                self._session.server.publish(types.PublishDiagnosticsParams(uri, []))

    def known_fixes(self, snapshot: Snapshot) -> list[Fix]:
        """The verified fixes for exactly this version; [] while they are being computed."""
        state = self._states.get(snapshot.uri)
        return state.fixes if state is not None and state.version == snapshot.version else []

    def _state(self, document: Document) -> State:
        return self._states.setdefault(document.snapshot.uri, State())

    def _start(self, document: Document, settle: float, typing: bool) -> None:
        state = self._state(document)
        if state.task is not None:
            state.task.cancel()
        state.left = asyncio.Event()
        state.held = False
        state.task = self._session.spawn(self._look(document, state, settle, typing))

    async def _look(self, document: Document, state: State, settle: float, typing: bool) -> None:
        await asyncio.sleep(settle)
        session, snapshot = self._session, document.snapshot
        settings = session.settings
        if not session.looks_at(snapshot) or not settings.diagnostics.enable:
            self._publish(state, snapshot, [])
            state.version, state.fixes = None, []
            return
        problems = await self._problems(snapshot)
        shown = self._told_now(document, state, problems) if typing else problems
        self._publish(state, snapshot, shown)
        if len(shown) < len(problems):
            state.held = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(state.left.wait(), settings.diagnostics.rest_ms / 1e3)
            state.held = False
            self._publish(state, snapshot, problems)
        await self._mend(document, state, snapshot, problems)

    async def _problems(self, snapshot: Snapshot) -> list[Problem]:
        loop = asyncio.get_running_loop()
        return list(await loop.run_in_executor(self._apart, lambda: snapshot.source.problems))

    def _told_now(self, document: Document, state: State, problems: list[Problem]) -> list[Problem]:
        """All problems, or only those already shown while a new one lies in the statement that is being typed."""
        lines = document.snapshot.lines
        known = {lines.row(p.start) for p in state.published}
        new = [p for p in problems if lines.row(p.start) not in known]
        state.statement = statement_rows(document.snapshot, document.cursor or 0)
        first, last = state.statement
        typed = any(first <= lines.row(p.start) <= last or first <= lines.row(p.end) <= last for p in new)
        return [p for p in problems if p not in new] if typed else problems

    def _publish(self, state: State, snapshot: Snapshot, problems: list[Problem]) -> None:
        if not problems and not state.published and state.published_version is not None:
            state.published_version = snapshot.version
            return
        if not problems and state.published_version is None:
            return  # nothing was ever said of this document
        state.published, state.published_version = problems, snapshot.version
        severity = SEVERITIES[self._session.settings.diagnostics.severity]
        diagnostics = [
            types.Diagnostic(
                range=snapshot.lines.range(p.start, p.end),
                message=p.message,
                severity=severity,
                source=SOURCE,
                code="syntax",
            )
            for p in problems
        ]
        self._session.server.publish(types.PublishDiagnosticsParams(snapshot.uri, diagnostics, snapshot.version))

    async def _mend(self, document: Document, state: State, snapshot: Snapshot, problems: list[Problem]) -> None:
        session = self._session
        if not problems or not session.settings.fixes.enable:
            state.version, state.fixes = None, []
            return
        if reason := session.excluded(snapshot):
            logger.debug("no fixes for %s: %s", snapshot.kept_in, reason)
            state.version, state.fixes = None, []
            return
        if state.version == snapshot.version:
            return
        assert snapshot.language is not None
        session.start_engine()
        await session.ready.wait()
        started = time.monotonic()
        deadline = started + session.settings.fixes.timeout_ms / 1e3
        request = RepairRequest(snapshot.clean, snapshot.language.name, snapshot.path, deadline=deadline)
        try:
            answer = await session.engine.repair(request, document=snapshot.uri)
        except CancelledError:
            return
        if document.snapshot.version != snapshot.version:
            return
        found = fixes(snapshot.source, answer)
        if session.settings.withhold_secrets:
            found = [f for f in found if not any(find(e.new) and not find(e.old) for e in f.edits)]
        state.version, state.fixes = snapshot.version, found
        mended = len({f.problem for f in found} - {None})
        spent = (time.monotonic() - started) * 1e3
        logger.info("%d of %d problems can be fixed (%.0f ms)", mended, len(problems), spent)


def statement_rows(snapshot: Snapshot, cursor: int) -> tuple[int, int]:
    """First and last line of the statement at `cursor`; the last is where a parser would stumble over its end."""
    lines, text = snapshot.lines, snapshot.text

    def content(row: int) -> str:
        start, end = lines.span(row)
        return text[start:end].strip()

    first = last = lines.row(cursor)
    while first > 0 and content(first - 1).endswith(("(", "[", "{", ",", "\\", "=")):
        first -= 1
    if not content(first) and first > 0:
        first -= 1  # on a new line: the one above was typed just now
    last += 1
    while last < len(lines) - 1 and not content(last):
        last += 1
    return first, last


def _moved(problems: list[Problem], edits: list[Edit]) -> list[Problem]:
    """Problems where they are after edits; those that an edit touched stay where they began."""
    for edit in edits:
        shift, end = len(edit.new) - edit.length, edit.start + edit.length
        problems = [
            Problem(p.start + shift, p.end + shift, p.message) if p.start >= end and p.start > edit.start else p
            for p in problems
        ]
    return problems
