"""What is known already about one request: whole rests of its line, the next token, and drafts.

The workspace's memory says most of it, the window itself and what the request before this one had drafted the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from engine.cancellation import CancelToken
from engine.kv_cache import Cache
from engine.memory import (
    DRAFTED,
    LEAST,
    NOTHING,
    WORTH_READING,
    Match,
    Proposal,
    View,
    as_sure,
    behind,
    chance_of_denoiser,
    chance_of_line,
    chances_read,
    look_back,
    rests_of_line,
)
from engine.overtaken import proposal
from engine.scoring import Readings, Scorer
from engine.types import CompleteRequest, Completion
from engine.vocabulary import Vocabulary
from engine.window import Window

READ_ROWS = 48  # tokens of remembered lines that one pass reads
SPELLED = 0.9  # the chance that healing spells what was cut off as the tokenizer would


class Recollection:
    """For one request and its window, `overtaken` being what the one before it had drafted for the same place.

    Without a `view` there are only that and the window to draft from.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        view: View | None,
        request: CompleteRequest,
        window: Window,
        block: bool,
        overtaken: str = "",
    ) -> None:
        self._lines = _lines(vocabulary, view, request) if view is not None and not block else []
        self.recall: Callable[[list[int]], Match] | None = None if view is None else self._recall
        self._vocabulary = vocabulary
        self._block = block
        self._view = view
        self._window = window
        self._last: tuple[list[int], Match] = ([], Match())
        heal = window.heal.decode("utf-8", "replace")
        self._spelled = vocabulary.encode(heal + "x")[:-1]
        self._tokens = {line.text: vocabulary.encode(heal + line.text) for line in self._lines}
        self._overtaken = vocabulary.encode(heal + overtaken) if overtaken else []

    @property
    def lines(self) -> list[Completion]:
        """The rests of the line that are worth showing, likeliest first, with their chance as confidence."""
        return [line for line in self._lines if line.confidence >= LEAST]

    def read(self, scorer: Scorer, cache: Cache, cancel: CancelToken, deadline: float | None = None) -> Readings | None:
        """Let the denoiser read the likeliest lines, in one pass, and weigh them anew.

        None when there is none, or no time left for it.
        """
        read = self.to_read()
        if not read:
            return None
        middles = [self._tokens[line.text] for line in read]
        readings = scorer.read(cache, self._window.ids, middles, cancel, self._window.heal, deadline)
        if len(readings.found) < len(read):
            return None
        chances = chances_read([line.confidence for line in read], readings.logprobs, readings.best)
        weighed = [replace(line, confidence=round(c, 4)) for line, c in zip(read, chances, strict=True)]
        unread = [line for line in self._lines if line not in read]
        self._lines = sorted([*weighed, *unread], key=lambda line: -line.confidence)
        return readings

    def to_read(self) -> list[Completion]:
        """The likeliest rests of the line that one pass has rows for, likeliest first."""
        chosen: list[Completion] = []
        room = READ_ROWS
        for line in self._lines:
            if (rows := len(self._tokens[line.text])) <= room:
                chosen.append(line)
                room -= rows
        return chosen

    def _recall(self, known: list[int]) -> Match:
        """The match behind `known`, the window included; asked twice, it answers from its last look-up."""
        text = self._window.left + known[len(self._window.ids) :]
        if self._last[0] != text and self._view is not None:
            self._last = (text, self._view.match(text))
        return self._last[1]

    def propose(self, known: list[int]) -> Proposal:
        """Drafts that cost no noise: a remembered line, an overtaken draft, a match, the window, healing."""
        written = known[len(self._window.ids) :]
        for line in self._lines:
            if line.confidence >= DRAFTED and (left := behind(self._tokens[line.text], written)):
                return as_sure(left, line.confidence)
        heal = self._window.heal if not written else b""
        found = [proposal(self._overtaken, written), look_back(known)]
        if self.recall is not None:
            found.append(self.recall(known).proposal)
        agreeing = [p for p in found if p.tokens and self._agrees(p.tokens, heal)]
        spelled = as_sure(self._spelled, SPELLED) if heal else NOTHING
        return self._within_line(max(agreeing, key=lambda proposal: proposal.first, default=spelled))

    def _agrees(self, tokens: list[int], heal: bytes) -> bool:
        return not heal or self._vocabulary.decode_bytes(tokens).startswith(heal)

    def _within_line(self, proposal: Proposal) -> Proposal:
        """Nothing is drafted behind the line break that ends the rest of a line."""
        if self._block:
            return proposal
        ends = (n for n, token in enumerate(proposal.tokens, 1) if b"\n" in self._vocabulary.bytes[token])
        return proposal.cut(next(ends, len(proposal.tokens)))


def likelier(written: Completion, remembered: Completion | None) -> list[Completion]:
    """The denoiser's answer and the memory's, the likelier one first; an answer that says nothing is none."""
    text = written.text.strip()
    if remembered is None or remembered.text.strip() == text:
        return [written] if text else []
    remembered = replace(remembered, steps=written.steps)
    if not text:
        return [remembered]
    if remembered.confidence > chance_of_denoiser(written.confidence):
        return [remembered, written]
    return [written, remembered]


def _lines(vocabulary: Vocabulary, view: View, request: CompleteRequest) -> list[Completion]:
    """The rests of the line that the memory has, likeliest first."""
    chances = {line.text: chance_of_line(line) for line in rests_of_line(view, request.prefix, request.suffix)}
    items = [
        Completion(text, round(chance, 4), len(vocabulary.encode(text)), 0)
        for text, chance in sorted(chances.items(), key=lambda c: -c[1])
        if chance >= WORTH_READING
    ]
    return [i for i in items if i.tokens <= request.max_tokens]
