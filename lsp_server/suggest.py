"""Suggestions at a cursor, for whatever part of the protocol shows them: asked, kept, fitted and filtered."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lsprotocol import types

from engine.errors import CancelledError, RemaskError
from engine.types import CompleteAnswer, CompleteRequest
from grammars import Source
from lsp_server import secrets
from lsp_server.documents import Document, Snapshot, unix, unpaired
from lsp_server.fitting import fit, normal
from lsp_server.settings import CompletionSettings
from lsp_server.shown import Shown
from lsp_server.type_along import Kept

if TYPE_CHECKING:
    from lsp_server.session import Session

logger = logging.getLogger("remask.suggest")
RESTS = 0.3  # seconds without a move: the cursor rests
WARM_SECONDS = 10.0
MULTILINE = {"auto": None, "never": False, "always": True}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a suggestion goes: `source` is the file as it will be without one, `cursor` an offset in it.

    With a popup's item selected the file is the one with that item in place of `replaced` (offsets in the document);
    `typed` is then the item's text, with which every suggestion has to begin.
    """

    source: Source
    cursor: int
    replaced: tuple[int, int]
    typed: str = ""

    @classmethod
    def at(cls, snapshot: Snapshot, cursor: int, selected: types.SelectedCompletionInfo | None = None) -> Place:
        """The place at a cursor, or behind what a popup would insert."""
        if selected is None:
            return cls(snapshot.source, cursor, (cursor, cursor))
        start, end = snapshot.lines.offsets(selected.range)
        end = max(end, cursor)
        source = snapshot.source.replace(start, end, selected.text)
        return cls(source, start + len(selected.text), (start, end), selected.text)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`text` replaces the document's characters from `start` to `end`; `ghost` is the part that is new."""

    text: str
    start: int
    end: int
    ghost: str
    confidence: float


class Suggester:
    """Answers for one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._warming: asyncio.Task[object] | None = None

    async def suggest(
        self,
        document: Document,
        position: types.Position,
        invoked: bool,
        selected: types.SelectedCompletionInfo | None = None,
        asked_as: str | None = None,
    ) -> list[Suggestion]:
        """Suggestions for the document as it is now; [] when there is nothing to say, or it changed meanwhile.

        Only the newest question of those `asked_as` the same is answered; None is the document's URI.
        """
        session, snapshot = self._session, document.snapshot
        asked_as = asked_as or snapshot.uri
        cursor = snapshot.lines.offset(position)
        session.cursor_seen(document, cursor)
        if reason := self._silent(document, cursor, invoked):
            logger.debug("%s", reason)
            session.latest.cancel(asked_as)
            if invoked and asked_as == snapshot.uri:  # a list is asked for in passing, too
                session.server.inform(reason)
            return []
        place = Place.at(snapshot, cursor, selected)
        middles, over = await self._middles(asked_as, snapshot, place, invoked)
        if document.snapshot.version != snapshot.version:
            return []  # stale: the client asks again for what it has now
        if self._silent(document, cursor, invoked):
            return []  # paused, switched off or excluded meanwhile
        found = list(self._fitted(place, middles, over))
        if found:
            first, text = found[0], snapshot.text
            session.shown.show(
                snapshot.uri,
                Shown(
                    unix(text[: first.start]),
                    unix(text[first.end :]),
                    tuple(s.text for s in found),
                    place.source.language.name,
                ),
            )
        return found

    def _silent(self, document: Document, cursor: int, invoked: bool) -> str | None:
        """Why nothing is suggested here; None when something may be."""
        session, snapshot = self._session, document.snapshot
        settings = session.settings.completion
        if (reason := session.silence(document)) or invoked:
            return reason
        if document.last_change in ("deleted", "undone") and not settings.after_deletion:
            return f"no suggestion: the last change was {document.last_change}"
        if not settings.in_strings or (not settings.in_comments and snapshot.source.may_be_comment(cursor)):
            kind = snapshot.source.inside_comment_or_string(cursor)
            if (kind == "comment" and not settings.in_comments) or (kind == "string" and not settings.in_strings):
                return f"no suggestion: the cursor is in a {kind}"
        return None

    async def _middles(
        self, asked_as: str, snapshot: Snapshot, place: Place, invoked: bool
    ) -> tuple[tuple[tuple[str, float], ...], int]:
        """Texts with their confidence, from an answer that still holds or from the engine; and closers to replace."""
        session = self._session
        settings = session.settings.completion
        wanted = settings.alternatives if invoked else settings.automatic_alternatives
        prefix, suffix = unix(place.source.text[: place.cursor]), unix(place.source.text[place.cursor :])
        rest = session.type_along.find(snapshot.uri, prefix, suffix, wanted)
        if rest is not None:
            session.latest.cancel(asked_as)
            return rest.middles, rest.over
        seconds = (settings.invoked_timeout_ms if invoked else settings.timeout_ms) / 1e3
        line = snapshot.uri, prefix.rfind("\n")
        request = completion_request(settings, snapshot, prefix, suffix, seconds, wanted)
        if not invoked:
            request = replace(request, brief=session.pacing.ask(line))
        asking = self._ask(request, asked_as, not invoked, session.pacing.delay())
        try:
            answer = await session.latest.run(asked_as, asking)
        except CancelledError:
            return (), 0
        except RemaskError as error:
            session.engine_failed(error)
            return (), 0
        if answer is not None:
            session.pacing.answered()
        if answer is None or not answer.timings_ms:
            return (), 0  # a newer question came, or there was no engine: that says nothing of this place
        single = settings.multiline == "never"
        middles = tuple(
            (normal(place.source, place.cursor, item.text, single), item.confidence) for item in answer.items
        )
        if middles or time.monotonic() < (request.deadline or 0.0) - 0.05:
            session.type_along.keep(Kept(snapshot.uri, prefix, suffix, middles, wanted))
        return middles, 0

    def warm(self, document: Document, cursor: int) -> None:
        """The cursor rests at a place where nobody asked yet: have the engine read the context there ahead of need."""
        if self._warming is not None:
            self._warming.cancel()
        self._warming = self._session.spawn(self._warm(document, cursor))

    async def _warm(self, document: Document, cursor: int) -> None:
        await asyncio.sleep(RESTS)
        session, snapshot = self._session, document.snapshot
        if not session.ready.is_set() or not session.settings.completion.enable:
            return
        if not session.looks_at(snapshot) or session.excluded(snapshot):
            return
        text = snapshot.text
        request = completion_request(session.settings.completion, snapshot, text[:cursor], text[cursor:], WARM_SECONDS)
        await session.engine.warm(request, document=snapshot.uri)

    async def _ask(self, request: CompleteRequest, asked_as: str, automatic: bool, delay: float) -> CompleteAnswer:
        if delay:
            await asyncio.sleep(delay)
        await self._session.configured.wait()
        with self._session.thinking():
            answer = await self._session.engine.complete(request, document=asked_as, automatic=automatic)
        t = answer.timings_ms
        if t:
            self._session.pacing.took(t.get("total", 0.0) / 1e3)
        logger.debug(
            "%d suggestions in %.1f ms, %.1f of them in passes (%d steps, %d of %d tokens cached)",
            len(answer.items),
            t.get("total", 0.0),
            t.get("passes", 0.0),
            answer.steps,
            answer.cached_tokens,
            answer.prompt_tokens,
        )
        return answer

    def _fitted(self, place: Place, middles: tuple[tuple[str, float], ...], over: int) -> Iterator[Suggestion]:
        settings = self._session.settings
        source = place.source.replace(place.cursor, place.cursor + over, "") if over else place.source
        prefix = source.text[: place.cursor]
        seen: set[str] = set()
        for middle, confidence in middles:
            if confidence < settings.completion.min_confidence:
                continue
            if settings.withhold_secrets and secrets.appears(prefix, middle):
                logger.info("a suggestion was withheld: it contains what looks like a secret")
                continue
            fitted = fit(source, place.cursor, middle)
            if fitted is None or fitted.text in seen:
                continue
            seen.add(fitted.text)
            start, end = place.replaced
            yield Suggestion(place.typed + fitted.text, start, end + over + fitted.over, fitted.text, confidence)


def completion_request(
    settings: CompletionSettings, snapshot: Snapshot, prefix: str, suffix: str, seconds: float, alternatives: int = 1
) -> CompleteRequest:
    """What the engine is asked between `prefix` and `suffix` of a document that has a language."""
    assert snapshot.language is not None
    return CompleteRequest(
        prefix=utf8(unix(prefix)),
        suffix=utf8(unix(suffix)),
        language=snapshot.language.name,
        path=snapshot.path,
        max_tokens=settings.max_tokens,
        alternatives=alternatives,
        multiline=MULTILINE[settings.multiline],
        deadline=time.monotonic() + seconds,
    )


def utf8(text: str) -> str:
    """Text without what UTF-8 cannot carry."""
    return text.encode("utf-8", "replace").decode("utf-8") if unpaired(text) else text
