"""From the manifest to shards: fetch → filter → tokenise → deduplicate → split → write. Rerunnable and resumable.

Every package is one unit of work whose result is kept under `packages/`, keyed by the code of the filters, so that an
interrupted build goes on where it stopped. The merge is a pure function of these results and the seed.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from engine.model import dedup, fetch, filters, manifest, shards, spans
from engine.model.corpus_report import REPORT
from engine.model.manifest import CorpusError, Package
from engine.vocabulary import Vocabulary

PACKAGE_TOKENS = 3_000_000  # no package, however large, is more than this much of the corpus
LANGUAGES = {
    "python": (".py",),
    "javascript": (".js", ".mjs", ".cjs", ".jsx"),
    "typescript": (".ts", ".mts", ".cts", ".tsx"),
}
SUFFIXES = {"pypi": (".py",), "interpreter": (".py",), "npm": LANGUAGES["javascript"] + LANGUAGES["typescript"]}


class Progress(Protocol):
    """Is told how far the build is."""

    def __call__(self, stage: str, done: int, total: int, note: str) -> None:
        """`done` of `total` units of `stage`; `note` is a line for people."""
        ...


@dataclass(frozen=True, slots=True)
class Report:
    """What a build made: tokens and files by (split, language), files dropped by reason, why packages were refused, by
    their keys."""

    tokens: dict[str, int]
    files: dict[str, int]
    dropped: dict[str, int]
    refused: dict[str, str]


def build(
    out: Path,
    tokenizer: Path,
    packages: list[Package],
    downloads: Path | None = None,
    workers: int = 2,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Build `out` from `packages`; one that cannot be had is reported and left out. `CorpusError` when none is left."""
    tell = progress or (lambda stage, done, total, note: None)
    downloads = downloads or out / "downloads"
    (out / "packages").mkdir(parents=True, exist_ok=True)
    refused: dict[str, str] = {}
    digest = hashlib.sha256(tokenizer.read_bytes()).hexdigest()[:12]
    results: dict[str, Path] = {}
    fetchers = ThreadPoolExecutor(4)
    readers = ProcessPoolExecutor(workers, initializer=_start, initargs=(str(tokenizer),))
    try:
        fetching: dict[Future[Path | None], Package] = {fetchers.submit(_fetched, p, downloads): p for p in packages}
        reading: dict[Future[Path], Package] = {}
        for future in as_completed(fetching):
            package = fetching[future]
            try:
                target = out / "packages" / f"{package.key}-{digest}-{code_version()}.npz"
                reading[readers.submit(_read, package, future.result(), target)] = package
            except CorpusError as problem:
                refused[package.key] = str(problem)
                tell("fetch", len(reading) + len(refused), len(packages), str(problem))
            else:
                tell("fetch", len(reading) + len(refused), len(packages), package.name)
        for done, job in enumerate(as_completed(reading), 1):
            package = reading[job]
            try:
                results[package.key] = job.result()
            except CorpusError as problem:
                refused[package.key] = str(problem)
            tell("read", done, len(reading), refused.get(package.key, package.name))
    finally:
        fetchers.shutdown(cancel_futures=True)
        readers.shutdown(cancel_futures=True)
    if not results:
        raise CorpusError("no package of the manifest could be used: " + "; ".join(list(refused.values())[:3]))
    return _merge(out, packages, results, Vocabulary(tokenizer), digest, seed, refused, tell)


def code_version() -> str:
    """Changes whenever the code that decides what is kept of a package, and where it may be cut, does."""
    parts = [inspect.getsource(module).encode() for module in (filters, spans, dedup)]
    return f"{zlib.crc32(b''.join([*parts, inspect.getsource(_read).encode()])):08x}"


def _fetched(package: Package, downloads: Path) -> Path | None:
    path = fetch.archive(package, downloads)
    fetch.check_licence(package, path)
    return path


_vocabulary: Vocabulary | None = None


def _start(tokenizer: str) -> None:
    global _vocabulary
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _vocabulary = Vocabulary(Path(tokenizer))


def _read(package: Package, archive: Path | None, target: Path) -> Path:
    """Filter and tokenise one package into `target`, unless that exists."""
    if target.is_file():
        return target
    assert _vocabulary is not None
    dropped: Counter[str] = Counter()
    names: list[list[str]] = []
    tokens, found, sketches = [], [], []
    for path, data in fetch.sources(archive, SUFFIXES[package.registry]):
        language = next(n for n, ends in LANGUAGES.items() if path.endswith(ends))
        why = filters.refuse_path(path)
        text = ""
        if why is None:
            try:
                text = data.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n")
                why = filters.refuse_text(text)
            except UnicodeDecodeError:
                why = "not text"
        if why is not None:
            dropped[why] += 1
            continue
        ids = np.array(_vocabulary.encode(text), dtype=np.uint16)
        raw = text.encode()
        if _vocabulary.decode_bytes(ids.tolist()) != raw:
            dropped["not spelled exactly"] += 1
            continue
        grammar = "tsx" if path.endswith("x") and language == "typescript" else language
        own = spans.find(grammar, raw, np.random.default_rng(zlib.crc32(raw)))
        if not len(own):
            dropped["does not parse"] += 1
            continue
        own["file"] = min(len(names), 65535)
        names.append([language, path])
        tokens.append(ids)
        found.append(own)
        sketches.append(dedup.sketch(ids))
    scratch = target.with_suffix(".part.npz")
    np.savez(
        scratch,
        about=np.frombuffer(json.dumps({"files": names, "dropped": dropped}).encode(), dtype=np.uint8),
        lengths=np.array([len(t) for t in tokens], dtype=np.int64),
        tokens=np.concatenate(tokens) if tokens else np.zeros(0, np.uint16),
        span_counts=np.array([len(s) for s in found], dtype=np.int64),
        spans=np.concatenate(found) if found else np.zeros(0, spans.DTYPE),
        sketches=np.stack(sketches) if sketches else np.zeros((0, dedup.HASHES), np.uint32),
    )
    os.replace(scratch, target)
    return target


@dataclass(slots=True)
class _File:
    language: str
    piece: shards.Piece
    sketch: dedup.Sketch


def _load(package: Package, path: Path) -> tuple[list[_File], Counter[str]]:
    try:
        with np.load(path) as raw:
            about = json.loads(raw["about"].tobytes())
            ids = np.split(raw["tokens"], np.cumsum(raw["lengths"])[:-1]) if len(raw["lengths"]) else []
            cut = np.split(raw["spans"], np.cumsum(raw["span_counts"])[:-1]) if len(raw["lengths"]) else []
            sketches = raw["sketches"]
    except (OSError, ValueError, KeyError) as damage:
        path.unlink(missing_ok=True)
        raise CorpusError(f"{path} is damaged ({damage}) and was removed: run the command again") from None
    files = [
        _File(language, shards.Piece(package.name, name, t, s), k)
        for (language, name), t, s, k in zip(about["files"], ids, cut, sketches, strict=True)
    ]
    return files, Counter(about["dropped"])


def _merge(
    out: Path,
    packages: list[Package],
    results: dict[str, Path],
    vocabulary: Vocabulary,
    digest: str,
    seed: int,
    refused: dict[str, str],
    tell: Progress,
) -> Report:
    seen = dedup.Seen()
    dropped: Counter[str] = Counter()
    kept: dict[tuple[str, str], list[tuple[Package, shards.Piece]]] = {}
    usable = [p for p in packages if p.key in results]
    # Dev first: what resembles a held-out file is then dropped from training, not the other way round.
    usable.sort(key=lambda p: (p.split != "dev", p.registry, p.name.lower()))
    for n, package in enumerate(usable):
        files, why = _load(package, results[package.key])
        dropped += why
        order = np.random.default_rng([seed, zlib.crc32(package.key.encode())]).permutation(len(files))
        size = 0
        for i in order:
            file = files[int(i)]
            if size >= PACKAGE_TOKENS:
                dropped["more of a large package"] += 1
            elif not seen.add(file.sketch):
                dropped["duplicate"] += 1
            else:
                kept.setdefault((package.split, file.language), []).append((package, file.piece))
                size += len(file.piece.tokens)
        tell("merge", n + 1, len(usable), package.name)
    for stale in [*out.glob("train-*"), *out.glob("dev-*")]:
        stale.unlink()
    tokens: dict[str, int] = {}
    counts: dict[str, int] = {}
    dev: list[str] = []
    for (split, language), pieces in sorted(kept.items()):
        order = np.random.default_rng([seed, zlib.crc32(f"{split}-{language}".encode())]).permutation(len(pieces))
        pieces = [pieces[int(i)] for i in order]
        tokens[f"{split} {language}"] = sum(len(p.tokens) for _, p in pieces)
        counts[f"{split} {language}"] = len(pieces)
        if split == "dev":
            dev += _dev_lines(pieces, language, vocabulary)
        shards.write(out, split, language, [p for _, p in pieces], digest)
    scratch = out / "dev.jsonl.part"
    scratch.write_text("".join(dev), encoding="utf-8")
    os.replace(scratch, out / "dev.jsonl")
    report = Report(tokens, counts, dict(dropped.most_common()), refused)
    lines = {"manifest": manifest.digest(packages), "seed": seed} | asdict(report)
    (out / REPORT).write_text(json.dumps(lines, indent=1), encoding="utf-8")
    return report


def _dev_lines(pieces: list[tuple[Package, shards.Piece]], language: str, vocabulary: Vocabulary) -> Iterator[str]:
    for package, p in pieces:
        text = vocabulary.decode_bytes(p.tokens.tolist()).decode()
        row = {"package": p.package, "version": package.version, "language": language, "path": p.path, "text": text}
        yield json.dumps(row, ensure_ascii=False) + "\n"


def read_manifest(path: Path | None) -> list[Package]:
    """The packages of a manifest file, or of the packaged one."""
    return manifest.load(path) if path is not None else manifest.load()
