"""Fitting the memory's trust on dev packages: of a token, of a whole line, and of the denoiser's answer beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from engine.bench.memory_proposals import fit_proposals
from engine.cancellation import CancelToken
from engine.core import Engine
from engine.ends import following_tokens
from engine.memory import Match, Memory, line_trust, mixture, rests_of_line
from engine.model.evaluation.cases import CUTTERS, Case, build_cases
from engine.model.evaluation.documents import Document
from engine.recollection import Recollection
from engine.sampler import Task, Writing, ending, opinion
from engine.scoring import Scorer
from engine.types import CompleteRequest

BUCKETS = ((0, 1), (2, 3), (4, 7), (8, 15), (16, 64))
LINE_SEEDS = 4  # draws of cursors for the lines, which need no denoiser
Pair = tuple[tuple[float, ...], bool]  # features, and whether it was right
Floats = npt.NDArray[np.float64]


def fit(e: Engine, workspaces: Sequence[Sequence[Document]], each: int, seed: int, console: Console) -> None:
    """Fit all weights by gradient ascent on the log-likelihood, print and use them."""
    positions: list[Position] = []
    lines: list[Pair] = []
    answers: list[Pair] = []
    read: list[Pair] = []
    memories = [remembered(e, documents) for documents in workspaces]
    for documents, memory in zip(workspaces, memories, strict=True):
        for draw in range(LINE_SEEDS):
            cases = line_cases(documents, 3 * each, seed + 2 + draw)
            lines += [pair for case in cases for pair in _lines(memory, case)]
        for case in line_cases(documents, each, seed + 1):
            positions += _positions(e, memory, case)
            answers += _answer(e, case)
    fit_proposals(e, workspaces, memories, seed, console)
    _fit_tokens(positions, console)
    line_trust.LINE = _fit_chance("LINE", lines, line_trust.LINE, console)
    line_trust.DENOISER = _fit_chance("DENOISER", answers, line_trust.DENOISER, console)
    # What the denoiser adds is weighed beside the chances as just fitted, at cursors that these were not fitted on.
    for documents, memory in zip(workspaces, memories, strict=True):
        for case in line_cases(documents, 3 * each, seed + 2 + LINE_SEEDS):
            read += _read(e, memory, case)
        memory.close()
    line_trust.READ = _fit_chance("READ", read, line_trust.READ, console)


@dataclass(frozen=True, slots=True)
class Position:
    """A token of a true middle: what the denoiser and the memory thought of it."""

    features: tuple[float, ...]
    denoiser: float  # its probability under the denoiser
    memory: float  # and under the memory
    match: int


def _fit_tokens(positions: Sequence[Position], console: Console) -> None:
    x = np.array([p.features for p in positions])
    model, memory = np.array([p.denoiser for p in positions]), np.array([p.memory for p in positions])
    weights = maximise(x, model, memory, np.array(mixture.WEIGHTS))
    console.print(f"WEIGHTS = {_listed(weights)}  # {len(positions)} positions")
    table = Table(title="by length of the match: nats a token, and the trust that was fitted")
    for column in ("match", "n", "denoiser", "memory right", "mixture", "trust"):
        table.add_column(column, justify="right")
    part = _logistic(x @ weights)
    for low, high in BUCKETS[1:]:
        at = np.array([low <= p.match <= high for p in positions])
        if at.any():
            mixed = (1 - part[at]) * model[at] + part[at] * memory[at]
            nats = [f"{-np.log(np.maximum(v, 1e-9)).mean():.3f}" for v in (model[at], mixed)]
            right = f"{(memory[at] > 0.5).mean():.3f}"
            table.add_row(f"{low}-{high}", str(at.sum()), nats[0], right, nats[1], f"{part[at].mean():.2f}")
    console.print(table)
    mixture.WEIGHTS = tuple(float(w) for w in weights)


def _fit_chance(name: str, pairs: Sequence[Pair], weights: tuple[float, ...], console: Console) -> tuple[float, ...]:
    """Logistic regression of what was right: the mixture of a certain right and a certain wrong."""
    x, right = np.array([f for f, _ in pairs]), np.array([float(r) for _, r in pairs])
    fitted = maximise(x, 1.0 - right, right, np.array(weights))
    chance = _logistic(x @ fitted)
    nats = -np.log(np.where(right > 0, chance, 1 - chance)).mean()
    console.print(f"{name} = {_listed(fitted)}  # {len(pairs)} cases, {right.mean():.3f} right, {nats:.3f} nats")
    return tuple(float(w) for w in fitted)


def maximise(x: Floats, denoiser: Floats, memory: Floats, weights: Floats, rounds: int = 4000) -> Floats:
    """Weights (F,) that maximise mean log((1 - trust) * denoiser + trust * memory), trust = logistic(x @ weights)."""
    scale = np.maximum(np.abs(x).max(axis=0), 1e-9)
    x, w = x / scale, weights * scale
    step, moment, square = 0.02, np.zeros_like(w), np.zeros_like(w)
    for i in range(1, rounds + 1):
        part = _logistic(x @ w)
        slope = (memory - denoiser) / np.maximum((1 - part) * denoiser + part * memory, 1e-9) * part * (1 - part)
        gradient = x.T @ slope / len(x) - 1e-4 * w
        moment = 0.9 * moment + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        w = w + step * (moment / (1 - 0.9**i)) / (np.sqrt(square / (1 - 0.999**i)) + 1e-8)
    return np.asarray(w / scale)


def _lines(memory: Memory, case: Case) -> Iterator[Pair]:
    """Every rest of the line that the memory offers at a cursor, and whether it is what stood there."""
    view = memory.view(case.language, case.path, case.prefix, case.suffix, -1)
    for line in rests_of_line(view, case.prefix, case.suffix):
        yield line_trust.features(line), line.text == case.middle.rstrip()


def _read(e: Engine, memory: Memory, case: Case) -> Iterator[Pair]:
    """Every rest of the line that the denoiser reads at a cursor, and whether it is what stood there."""
    view = memory.view(case.language, case.path, case.prefix, case.suffix, -1)
    request = CompleteRequest(case.prefix, case.suffix, case.language, case.path, multiline=False)
    window = e.completer.windows.build(case.prefix, case.suffix)
    recollection = Recollection(e.vocabulary, view, request, window, block=False)
    read = recollection.to_read()
    readings = recollection.read(Scorer(e.denoiser, e.vocabulary), e.caches.get(window.ids), CancelToken())
    if readings is None:
        return
    rows = line_trust.read_features([line.confidence for line in read], readings.logprobs, readings.best)
    yield from zip(rows, (line.text == case.middle.rstrip() for line in read), strict=True)


def _answer(e: Engine, case: Case) -> Iterator[Pair]:
    """The denoiser's own answer, if it has one, and whether it is what stood there."""
    request = CompleteRequest(case.prefix, case.suffix, case.language, case.path, multiline=False)
    for item in e.run_complete(request).items:
        yield line_trust.denoiser_features(item.confidence), item.text.rstrip() == case.middle.rstrip()


def _positions(e: Engine, memory: Memory, case: Case) -> Iterator[Position]:
    """Read a true middle causally; every token whose left context the memory matches."""
    window = e.completer.windows.build(case.prefix, case.suffix)
    end = e.denoiser.config.reserved.end
    middle = e.vocabulary.encode(window.heal.decode("utf-8", "replace") + case.middle)[:32]
    w = Writing(e.denoiser, e.vocabulary, e.caches.get(window.ids), Task(window.ids))
    known = w.known[w.committed :] + middle
    prediction = e.denoiser.causal(w.cache, known, w.committed, range(len(known) - len(middle) - 1, len(known)))
    view = memory.view(case.language, case.path, case.prefix, case.suffix, end)
    follow = following_tokens(e.vocabulary, case.suffix, line=True)
    heal = window.heal
    for i, token in enumerate([*middle, end]):
        match: Match = view.match(window.left + middle[:i])
        logprob, allowed = prediction.logprob(i, token), None
        if heal:
            allowed = np.union1d(e.vocabulary.spelling(heal), [token])
            match = match.among(allowed)
            logprob = float(prediction.logits[i, token]) - prediction.among(i, allowed)[0]
            heal = heal[len(e.vocabulary.bytes[token]) :]
        elif token == end:
            logprob = ending(prediction, i, follow)
        if not match.chances:
            continue
        # What the memory says of what follows a middle, and <end>: either is the end of this one.
        chance = match.chances.get(token, 0.0)
        if token == end:
            chance += sum(match.chances.get(t, 0.0) for t in follow.tolist())
        thought = opinion(prediction, i, match, follow, allowed)
        yield Position(mixture.features(match, thought), math.exp(logprob), min(chance, 1.0), match.length)


def remembered(e: Engine, documents: Sequence[Document]) -> Memory:
    """A memory of a whole workspace."""
    memory = Memory(e.vocabulary)
    for document in documents:
        memory.remember(document.path, document.text)
    memory.settle()
    return memory


def line_cases(documents: Sequence[Document], each: int, seed: int) -> list[Case]:
    """Seeded cursors at which the rest of a line is written."""
    return build_cases(documents, {"line": CUTTERS["line"]}, each, seed)


def _listed(weights: Floats) -> str:
    return "(" + ", ".join(f"{w:.2f}" for w in weights) + ")"


def _logistic(z: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-z)))
