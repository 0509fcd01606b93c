"""What the workspace's memory has to say about one request: whole rests of its line, the next token, and drafts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from engine.memory import DRAFTED, LEAST, Match, View, chance_of_denoiser, chance_of_line, look_back, rests_of_line
from engine.types import CompleteRequest, Completion
from engine.vocabulary import Vocabulary
from engine.window import Window

GRAMS = (4, 3, 2, 1)  # tokens that must agree with a place in the window before it proposes what came next there


class Recollection:
    """For one request and its window; without a `view` there is nothing but the window to draft from."""

    def __init__(
        self, vocabulary: Vocabulary, view: View | None, request: CompleteRequest, window: Window, block: bool
    ) -> None:
        self.lines = _lines(vocabulary, view, request) if view is not None and not block else []
        self.recall: Callable[[list[int]], Match] | None = None if view is None else self._recall
        self._vocabulary = vocabulary
        self._view = view
        self._window = window
        self._last: tuple[list[int], Match] = ([], Match())
        heal = window.heal.decode("utf-8", "replace")
        self._spelled = vocabulary.encode(heal + "x")[:-1]
        self._whole = [vocabulary.encode(heal + item.text) for item in self.lines if item.confidence >= DRAFTED]

    def _recall(self, known: list[int]) -> Match:
        """The match behind `known`, the window included; asked twice, it answers from its last look-up."""
        text = self._window.left + known[len(self._window.ids) :]
        if self._last[0] != text and self._view is not None:
            self._last = (text, self._view.match(text))
        return self._last[1]

    def propose(self, known: list[int]) -> list[int]:
        """Drafts that cost no noise: a remembered line, what healing will most likely spell, a match, the window."""
        written = known[len(self._window.ids) :]
        if line := next((t[len(written) :] for t in self._whole if t[: len(written)] == written), []):
            return line
        found = self.recall(known).draft if self.recall is not None else []
        if self._window.heal and not written:
            agrees = self._vocabulary.decode_bytes(found).startswith(self._window.heal)
            return found if agrees else self._spelled
        return found or next((seen for gram in GRAMS if (seen := look_back(known, gram))), [])


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
    """The rests of the line that the memory has, likeliest first; their confidence is their chance to be right."""
    chances = {line.text: chance_of_line(line) for line in rests_of_line(view, request.prefix, request.suffix)}
    items = [
        Completion(text, round(chance, 4), len(vocabulary.encode(text)), 0)
        for text, chance in sorted(chances.items(), key=lambda c: -c[1])
        if chance >= LEAST
    ]
    return [i for i in items if i.tokens <= request.max_tokens]
