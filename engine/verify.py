"""The parser in the loop: parses what a suggestion would make of the file, and says what it broke.

Keeps the last parse of each language, so that the next request re-parses only what was typed in between.
"""

from __future__ import annotations

import grammars
from engine.alike import changed_span
from grammars import Source


class Parser:
    """Parses documents incrementally across requests."""

    def __init__(self) -> None:
        self._last: dict[str, Source] = {}

    def parse(self, language: str, text: str) -> Source:
        """`text` as an edit of the last one in this language where the two are alike."""
        last = self._last.get(language)
        if last is None:
            source = grammars.get(language).parse(text)
        elif last.text == text:
            source = last
        else:
            start, end, new_end = changed_span(last.text, text)
            alike = len(text) - (new_end - start)
            source = (
                last.replace(start, end, text[start:new_end])
                if 2 * alike > len(text)
                else grammars.get(language).parse(text)
            )
        self._last[language] = source
        return source

    def close(self) -> None:
        """Forget all parses."""
        self._last.clear()


class Verifier:
    """Judges middles for one cursor: `before` is the file without the middle."""

    def __init__(self, before: Source, offset: int) -> None:
        self.before = before
        self.offset = offset
        self._insertions = grammars.Insertions(before, offset)

    def holds(self, middle: str) -> bool:
        """Never worse: no new error touches the middle and no more bytes are under errors than before."""
        return not self._insertions.is_worse(middle)

    def broken_bytes(self, middle: str) -> int:
        """How many bytes of the file with a middle are under errors."""
        return self._insertions.after(middle).error_bytes

    def broken_spans(self, middle: str) -> list[tuple[int, int]]:
        """Character spans of `middle` under new errors; all of it when the parser blames no place in it."""
        after = self._insertions.after(middle)
        start, end = self.offset, self.offset + len(middle)
        spans = []
        for error in grammars.new_errors(self.before, after, start, end):
            a, b = max(error.start, start) - start, min(error.end, end) - start
            spans.append((min(a, len(middle) - 1), max(b, a + 1)))
        whole = (0, len(middle))
        return spans if spans and any(s != whole for s in spans) else [whole]
