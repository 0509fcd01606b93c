"""How often proposed tokens hold, by the tokens that agree before them: the curves of `engine/memory/proposal.py`.

Stretches of held-out files are hidden, and what the memory and the window propose behind their first tokens is held
against them. A token counts when all before it held, since that is when the `verified` sampler comes to it. No forward
pass is taken.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence

from rich.console import Console

from engine.core import Engine
from engine.memory import Memory, look_back
from engine.memory.proposal import IN_WINDOW, IN_WORKSPACE, Curve
from engine.model.evaluation.documents import Document

PLACES = 8  # in a file
HIDDEN = 64  # tokens
LEFT = 40  # tokens that stand before a place at least
WRITTEN = 12  # tokens of a hidden stretch that may be known by then, at most

Counts = dict[int, list[int]]  # tokens that agree -> how often reached, how often right


def fit_proposals(
    e: Engine, workspaces: Sequence[Sequence[Document]], memories: Sequence[Memory], seed: int, console: Console
) -> None:
    """Print both curves as they are written in `engine/memory/proposal.py`."""
    workspace: Counts = defaultdict(lambda: [0, 0])
    window: Counts = defaultdict(lambda: [0, 0])
    for documents, memory in zip(workspaces, memories, strict=True):
        for document in documents:
            for found, counts in _proposals(e, memory, document, seed, (workspace, window)):
                for agree, right in found:
                    counts[agree][0] += 1
                    counts[agree][1] += right
    console.print(_line("IN_WORKSPACE", IN_WORKSPACE, workspace))
    console.print(_line("IN_WINDOW", IN_WINDOW, window))


def _proposals(
    e: Engine, memory: Memory, document: Document, seed: int, counts: tuple[Counts, Counts]
) -> Iterator[tuple[list[tuple[int, bool]], Counts]]:
    """What was found at places of a file: (tokens that agree, right) of every token reached, and where it counts."""
    ids = e.vocabulary.encode(document.text)
    rng = random.Random(f"{seed}:{document.path}")
    for _ in range(PLACES if len(ids) > 2 * LEFT + HIDDEN else 0):
        start = rng.randrange(LEFT, len(ids) - HIDDEN)
        hidden, written = ids[start : start + HIDDEN], rng.randrange(WRITTEN)
        prefix = e.vocabulary.decode(ids[:start])
        suffix = document.text[len(prefix) + len(e.vocabulary.decode(hidden)) :]
        known, truth = hidden[:written], hidden[written:]
        built = e.completer.windows.build(prefix, suffix, heal=False)
        view = memory.view(document.language, document.path, prefix, suffix, -1)
        match = view.match(built.left + known)
        yield list(_reached(match.ahead, truth, match.length)), counts[0]
        sequence = [*built.ids, *known]
        proposal = look_back(sequence)
        yield list(_reached(proposal.tokens, truth, proposal.length)), counts[1]


def _reached(proposed: Sequence[int], truth: Sequence[int], length: int) -> Iterator[tuple[int, bool]]:
    for i, (guess, token) in enumerate(zip(proposed, truth, strict=False)):
        yield length + i, guess == token
        if guess != token:
            return


def _line(name: str, curve: Curve, counts: Counts) -> str:
    borders = [start for start, _ in curve]
    fitted = []
    for low, high in zip(borders, [*borders[1:], 1 << 30], strict=True):
        reached, right = (sum(c[i] for agree, c in counts.items() if low <= agree < high) for i in (0, 1))
        fitted.append(f"({low}, {right / max(reached, 1):.3g})")
    return f"{name} = ({', '.join(fitted)})  # {sum(c[0] for c in counts.values())} tokens"
