"""The run on the borrowed card: detached from whoever started it, begun again when it fails, waited for.

`train` starts `supervise` in a session of its own, and that a process for each try: a card that failed once answers a
process no more. All tries end at one time, so that a failure costs minutes of training and none of those behind it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from engine.checkpoint import Checkpoint
from engine.errors import ModelError, RemaskError
from engine.model.processes import alive

TRIES = 4
WORTH_TRYING = 90.0  # seconds that must be left
EXPECTED = (0, 2, 130)  # exit codes of a run that is done, that can not be had as asked, or that was interrupted
FIRST_STEP = 180.0  # seconds that the layers' compilation may take
OUTPUT, PID, LOG = "out.txt", "pid", "run/log.jsonl"
SETTINGS = ("steps", "rate", "positions", "accumulate", "device", "save_every", "state_every")


def train(home: Path, args: argparse.Namespace) -> str:
    """Start training detached in `home`; returns what came of it once a step is done, or it has ended."""
    if not list((home / "corpus").glob("train-*.json")):
        raise RemaskError(f"{home} has no shard yet: receive more parcels first")
    try:
        Checkpoint(home / "base")
    except ModelError as missing:
        raise RemaskError(f"{home} has no whole base weights yet ({missing}): receive more parcels first") from None
    if running(home):
        raise RemaskError(f"process {(home / PID).read_text()} is training in {home} already")
    before = _steps(home)
    with (home / OUTPUT).open("ab") as out:
        child = subprocess.Popen(
            _command("work", home, args, minutes=args.minutes),
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    (home / PID).write_text(str(child.pid))
    return f"process {child.pid}: {_begun(home, child, before)}; log in {home / OUTPUT}"


def _begun(home: Path, child: subprocess.Popen[bytes], before: int) -> str:
    """What is to be seen in the first minutes: a mistake is said now, not at the next call."""
    until = time.monotonic() + FIRST_STEP
    while time.monotonic() < until:
        time.sleep(0.25)
        if child.poll() is not None:
            if child.returncode:
                raise RemaskError(f"training ended with status {child.returncode}: {tail(home)}")
            return "training is over"
        if _steps(home) > before:
            return "training, the first step is done"
    return f"at work, but no step is done after {FIRST_STEP:.0f} seconds: look at its log"


def supervise(home: Path, args: argparse.Namespace) -> int:
    """Train until the time is used up, again after a failure that nobody expected; the last try's exit code."""
    deadline = time.time() + args.minutes * 60
    for tried in range(1, TRIES + 1):
        code = subprocess.run(_command("attempt", home, args, deadline=deadline), cwd=home, check=False).returncode
        if code in EXPECTED or deadline - time.time() < WORTH_TRYING:
            break
        print(f"training failed with status {code}, try {tried} of {TRIES}", file=sys.stderr, flush=True)
    return code


def attempt(home: Path, args: argparse.Namespace) -> int:
    """Train in this process until the deadline."""
    from engine.model.training import train_command

    settings = {name: getattr(args, name) for name in SETTINGS}
    run = argparse.Namespace(run=home / "run", corpus=home / "corpus", start=home / "base", seed=0, watch=20.0)
    fixed = {"minutes": args.minutes, "deadline": args.deadline, "context_learns": None}
    return train_command(argparse.Namespace(**vars(run), **settings, **fixed))


def _command(name: str, home: Path, args: argparse.Namespace, **more: float) -> list[str]:
    given = {setting: getattr(args, setting) for setting in SETTINGS} | {"minutes": args.minutes} | more
    words = [f"--{n.replace('_', '-')}={value}" for n, value in given.items() if value is not None]
    return [sys.executable, "-m", "engine.model.one_gpu", name, str(home), *words]


def wait(home: Path, minutes: float) -> str:
    """Print the log's last line now and then, until the time is up or the run has ended; returns which."""
    if not (home / PID).is_file():
        raise RemaskError(f"nothing was started in {home}: train first")
    until, shown, said = time.monotonic() + minutes * 60, "", 0.0
    while running(home) and time.monotonic() < until:
        if time.monotonic() - said > 15 and (line := tail(home, 1)) != shown:
            print(line, flush=True)
            shown, said = line, time.monotonic()
        time.sleep(min(1.0, max(until - time.monotonic(), 0.0)))
    return "still training" if running(home) else "the run has ended"


def running(home: Path) -> bool:
    """Whether a process is training in `home`."""
    try:
        return alive(int((home / PID).read_text()))
    except (OSError, ValueError):
        return False


def tail(home: Path, lines: int = 5) -> str:
    """The last lines of a run's output."""
    try:
        return "\n".join((home / OUTPUT).read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return "no output yet"


def _steps(home: Path) -> int:
    try:
        return (home / LOG).read_text(encoding="utf-8").count('"loss":')
    except OSError:
        return 0
