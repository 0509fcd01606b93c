"""What became of a suggestion: LSP does not say, the next text of the document does."""

from __future__ import annotations

from dataclasses import dataclass

from lsp_server.counters import Counters

WORD = 2  # characters that no single key types


@dataclass(slots=True)
class Shown:
    """Suggestions on show: the file becomes `prefix + middle + suffix` with whichever is accepted; line feeds only."""

    prefix: str
    suffix: str
    middles: tuple[str, ...]
    language: str
    partly: bool = False

    @property
    def result(self) -> str:
        """The file with the first suggestion accepted."""
        return self.prefix + self.middles[0] + self.suffix


class ShownSuggestions:
    """The suggestion that each document shows, if any."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._shown: dict[str, Shown] = {}

    def show(self, uri: str, new: Shown) -> None:
        """Note what is shown now; the rest of an earlier suggestion is no new one."""
        old = self._shown.get(uri)
        if old is not None and old.result in (new.prefix + middle + new.suffix for middle in new.middles):
            return
        if old is not None:
            self._reject(uri)
        self._shown[uri] = new
        self._counters.count("shown", new.language)

    def now(self, uri: str) -> Shown | None:
        """What a document shows."""
        return self._shown.get(uri)

    def changed(self, uri: str, text: str, at_once: int) -> None:
        """The document became `text`, by one change that inserted `at_once` characters."""
        shown = self._shown.get(uri)
        if shown is None:
            return
        for middle in shown.middles:
            if text == shown.prefix + middle + shown.suffix:
                self._accept(uri, shown, len(middle))
                return
        along = text.startswith(shown.prefix) and any(
            middle.startswith(_between(text, shown.prefix, shown.suffix) or "\0") for middle in shown.middles
        )
        if not along and text != shown.prefix + shown.suffix:
            self._reject(uri)
        elif along and at_once >= WORD:
            self.partly_accepted(uri)

    def accepted(self, uri: str) -> None:
        """The client says so; the change to the text may come before or after."""
        shown = self._shown.get(uri)
        if shown is not None:
            self._accept(uri, shown, len(shown.middles[0]))

    def partly_accepted(self, uri: str) -> None:
        """The client says so."""
        shown = self._shown.get(uri)
        if shown is not None and not shown.partly:
            shown.partly = True
            self._counters.count("partly accepted", shown.language)

    def closed(self, uri: str) -> None:
        """The document is gone."""
        if uri in self._shown:
            self._reject(uri)

    def _accept(self, uri: str, shown: Shown, characters: int) -> None:
        del self._shown[uri]
        self._counters.count("accepted", shown.language)
        self._counters.count("characters accepted", shown.language, characters)

    def _reject(self, uri: str) -> None:
        shown = self._shown.pop(uri)
        if not shown.partly:
            self._counters.count("rejected", shown.language)


def _between(text: str, prefix: str, suffix: str) -> str | None:
    """What stands between the two in `text`, without closers that the editor added before the suffix."""
    if not text.endswith(suffix) or len(text) < len(prefix) + len(suffix):
        return None
    return text[len(prefix) : len(text) - len(suffix)].rstrip(")]}\"'`")
