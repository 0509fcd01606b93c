"""What rows cost on this device: measured once, kept, and read by whoever chooses a block size or a number of masks.

Answers must not depend on how busy the machine was at one start, so a measurement is kept in the user's cache folder
under the model's digest and the device, and named by `remask doctor`; only when it is missing is it measured again.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import onnxruntime
from platformdirs import user_cache_path

from engine.denoiser import Denoiser
from engine.verified import DraftPolicy

log = logging.getLogger(__name__)

ROWS = (1, 4, 8, 16)
CONTEXT = 256
GROUPS = 8  # of masks in a pass on a GPU, where rows cost next to nothing
# The chance that a mask's guess is accepted, by its distance: `remask bench drafts`, the first checkpoint.
HOLDS = (0.44, 0.08, 0.01, 0.005)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Milliseconds of a pass by its rows, and what follows from them.

    `row_cost` is what one more row costs as a share of a pass of one; `masks` how many rows of noise to add to a pass.
    """

    device: str
    precision: str
    milliseconds: dict[int, float]
    row_cost: float
    masks: int

    def describe(self) -> str:
        """For `remask doctor`."""
        passes = ", ".join(f"K = {rows}: {ms:.1f}" for rows, ms in self.milliseconds.items())
        return f"{passes} ms; a row costs {self.row_cost:.0%} of a pass, {self.masks} masks a draft"


def calibrate(denoiser: Denoiser) -> Calibration:
    """The measurement kept for this model and device, or a new one (some 0.3 s)."""
    path = user_cache_path("remask", appauthor=False) / "calibration" / f"{_key(denoiser)}.json"
    found = _read(path)
    if found is None:
        found = measure(denoiser)
        _write(path, found)
    return found


def draft_policy(denoiser: Denoiser) -> DraftPolicy:
    """How much noise to draft with on this device: it changes what an answer costs, never the answer."""
    found = calibrate(denoiser)
    return DraftPolicy(found.masks, found.row_cost, branches=GROUPS if denoiser.device.name == "cuda" else 1)


def measure(denoiser: Denoiser, times: int = 7) -> Calibration:
    """Time passes of 1 to 16 rows, interleaved, each at its best: what else the machine does only ever adds."""
    cache = denoiser.new_cache()
    for start in range(0, CONTEXT, 64):
        denoiser.causal(cache, [100 + start + i for i in range(64)], start, [0])
    spent: dict[int, list[float]] = {rows: [] for rows in ROWS}
    for _ in range(times):
        for rows in ROWS:
            at = time.perf_counter()
            denoiser.causal(cache, [100] * rows, CONTEXT, range(rows))
            spent[rows].append((time.perf_counter() - at) * 1e3)
    best = {rows: round(min(all_), 2) for rows, all_ in spent.items()}
    return Calibration(denoiser.device.name, denoiser.precision, best, *conclude(best))


def conclude(milliseconds: dict[int, float]) -> tuple[float, int]:
    """(row cost, masks) from milliseconds by rows: masks are added while they promise more tokens a millisecond.

    With n masks a pass costs 1 + n x row cost and its drafts, verified by the next pass, as much again in rows; it
    yields a token and those of the n guesses that hold (`HOLDS`).
    """
    one = milliseconds[1]
    cost = statistics.median((ms / one - 1.0) / (rows - 1) for rows, ms in milliseconds.items() if rows > 1)
    cost = round(max(cost, 0.001), 3)
    best, masks = 0.0, 0
    for n in range(16):
        tokens = 1.0 + sum(HOLDS[i] if i < len(HOLDS) else HOLDS[-1] / 2 for i in range(n))
        if (rate := tokens / (1.0 + 2 * n * cost)) > best * 1.001:
            best, masks = rate, n
    return cost, masks


def _key(denoiser: Denoiser) -> str:
    device = denoiser.device
    digest = denoiser.checkpoint.digest
    return f"{digest}-{device.name}-{device.threads}-{denoiser.precision}-{onnxruntime.__version__}"


def _read(path: Path) -> Calibration | None:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        passes = {int(rows): float(ms) for rows, ms in raw["milliseconds"].items()}
        if not set(ROWS) <= set(passes) or min(passes.values()) <= 0:
            raise ValueError("no timings")
        return Calibration(str(raw["device"]), str(raw["precision"]), passes, *conclude(passes))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as damage:
        log.warning("%s cannot be read (%s): measuring again", path, damage)
        return None


def _write(path: Path, found: Calibration) -> None:
    part = path.with_suffix(f".{os.getpid()}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as f:
            json.dump(asdict(found), f)
        part.replace(path)
    except OSError as refusal:
        log.warning("the calibration cannot be kept in %s (%s): it is made at every start", path.parent, refusal)
