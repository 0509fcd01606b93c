"""One training sample: a cut or a damaged place in a file, laid out exactly as the engine's windows are at inference.

`<suffix> S <prefix> P [<broken> B] <middle> M <end>`, built by the engine's own `WindowBuilder`, healing included, so
that training and inference cannot drift apart. Sample number i is a function of the seed and i alone.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.checkpoint import Reserved
from engine.model import cuts
from engine.model.damage import damage
from engine.model.manifest import CorpusError
from engine.model.shards import Shard
from engine.model.spelling import Spelling
from engine.vocabulary import Vocabulary
from engine.window import Budget, WindowBuilder

LANGUAGE_WEIGHT = {"python": 0.7, "javascript": 0.15, "typescript": 0.15}
REPAIRS = 0.25  # share of samples that mend damage, of those that are no longer than a repair's window
UNHEALED = 0.05  # of completions: what is rewritten stands behind a whole token
LONGEST_MIDDLE = 96  # tokens
LONGEST_REPAIR = 320  # of a repair's sample
HEALED = 6  # tokens that healing adds to a middle, at most in nearly all cases
REACH = 6  # bytes of context read for each token of the window
FILES_KEPT = 64


@dataclass(frozen=True, slots=True)
class Sample:
    """ids (n,) of the clean stream, `<end>` last; `middle` is the row of `<middle>`, `prefix` the rows of P.

    `healed` is how many of the middle's first tokens spell what healing cut off the prefix.
    """

    ids: npt.NDArray[np.int64]
    middle: int
    prefix: tuple[int, int]
    repair: bool
    healed: int = 0


class Sampler:
    """Draws samples from shards. Knows text and windows; knows nothing of noise or tensors."""

    def __init__(
        self,
        shards: Sequence[Shard],
        vocabulary: Vocabulary,
        reserved: Reserved,
        seed: int,
        more: Callable[[], Sequence[Shard]] | None = None,
        every: float = 20.0,
    ) -> None:
        """`more` lists the shards anew every so many seconds, for a corpus that is still arriving."""
        self.vocabulary = vocabulary
        self._spelling = Spelling(vocabulary.bytes)
        self.reserved = reserved
        self.seed = seed
        self._more = more
        self._every = every
        self._looked = time.monotonic()
        self._texts: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._take(shards)

    def _take(self, shards: Sequence[Shard]) -> None:
        self._by_language: dict[str, list[Shard]] = {}
        for shard in shards:
            self._by_language.setdefault(shard.language, []).append(shard)
        if not self._by_language:
            raise CorpusError("no shards to train on: build them with `remask model corpus`")
        self._names = sorted(self._by_language)
        weights = np.array([LANGUAGE_WEIGHT.get(n, 0.05) for n in self._names])
        self._weights = weights / weights.sum()
        self._ends = {n: np.cumsum([len(s.tokens) for s in s_list]) for n, s_list in self._by_language.items()}

    def draw(self, index: int, length: int) -> Sample:
        """Sample number `index`, at most `length` ids long."""
        if self._more is not None and time.monotonic() - self._looked > self._every:
            self._looked = time.monotonic()
            self._take(self._more())
        rng = np.random.default_rng([self.seed, index])
        for _ in range(50):
            shard, file = self._file(rng)
            data = self._text(shard, file)
            if len(data) < 64:
                continue
            found = None
            if length <= LONGEST_REPAIR and rng.random() < REPAIRS:
                found = self._repair(data, shard.language, length, rng)
            if found is None:
                found = self._completion(data, shard.cuts(file), length, rng)
            if found is not None:
                return found
        raise CorpusError(f"no file of the corpus gives a sample of {length} tokens: it holds too little code")

    def _file(self, rng: np.random.Generator) -> tuple[Shard, int]:
        """A file, by language weight and then by its length."""
        name = self._names[int(rng.choice(len(self._names), p=self._weights))]
        ends = self._ends[name]
        at = int(rng.integers(ends[-1]))
        which = int(np.searchsorted(ends, at, side="right"))
        shard = self._by_language[name][which]
        inside = at - (int(ends[which - 1]) if which else 0)
        return shard, int(np.searchsorted(shard.starts, inside, side="right")) - 1

    def _text(self, shard: Shard, file: int) -> bytes:
        key = (shard.name, file)
        if key not in self._texts:
            self._texts[key] = self._spelling.bytes_of(shard.ids(file))
            if len(self._texts) > FILES_KEPT:
                self._texts.popitem(last=False)
        self._texts.move_to_end(key)
        return self._texts[key]

    def _completion(
        self, data: bytes, spans: npt.NDArray[np.void], length: int, rng: np.random.Generator
    ) -> Sample | None:
        cut = cuts.choose(data, spans, rng)
        suffix = int(min(160, length * 0.36) * rng.choice([0.0, 0.4, 1.0], p=[0.06, 0.14, 0.8]))
        return self._lay_out(data, cut.start, cut.end, length, suffix, None, rng.random() >= UNHEALED)

    def _repair(self, data: bytes, language: str, length: int, rng: np.random.Generator) -> Sample | None:
        at = int(rng.integers(len(data)))
        start, end = cuts.line_start(data, at), cuts.line_end(data, at)
        for _ in range(int(rng.choice([0, 1, 2, 4], p=[0.35, 0.15, 0.4, 0.1]))):
            end = cuts.line_end(data, min(end + 1, len(data)))
        lines = data[start:end].decode("utf-8", "replace")
        if not lines.strip() or len(lines) > 480:
            return None
        broken, done = damage(lines, language, rng)
        if not done:
            return None
        return self._lay_out(data, start, end, length, 64, broken, False)

    def _lay_out(
        self,
        data: bytes,
        start: int,
        end: int,
        length: int,
        suffix: int,
        broken: str | None,
        heal: bool,
    ) -> Sample | None:
        middle = data[start:end]
        own = len(self.vocabulary.encode(middle.decode("utf-8", "replace"))) + HEALED * heal + 1
        total = min(Budget().total if broken is None else 256, length - own)
        if own > LONGEST_MIDDLE or total < length // 4:
            return None
        r = self.reserved
        after = data[end : end + suffix * REACH].decode("utf-8", "ignore")
        room = total - min(len(self.vocabulary.encode(after)), suffix)
        before = self._near(data, start, room)
        budget = Budget(total=total, suffix=suffix)
        window = WindowBuilder(self.vocabulary, r, budget).build(before, after, broken, heal)
        ids = self.vocabulary.encode((window.heal + middle).decode("utf-8", "replace"))
        if len(window.ids) + len(ids) + 1 > length:
            return None
        opened = window.ids.index(r.prefix, 1) + 1
        closed = window.ids.index(r.broken, opened) if broken is not None else len(window.ids) - 1
        row = np.array([*window.ids, *ids, r.end], dtype=np.int64)
        healed = spelled = 0
        while spelled < len(window.heal):
            spelled, healed = spelled + len(self.vocabulary.bytes[ids[healed]]), healed + 1
        return Sample(row, len(window.ids) - 1, (opened, closed), broken is not None, healed)

    def _near(self, data: bytes, start: int, room: int) -> str:
        """The last whole lines before `start` that fit `room` tokens: a window's grid would leave much empty."""
        before = data[cuts.line_start(data, max(start - room * REACH, 0)) : start].decode("utf-8", "replace")
        ids = self.vocabulary.encode(before)
        if len(ids) <= room:
            return before
        tail = self.vocabulary.decode(ids[-room:])
        return tail[tail.find("\n") + 1 :]
