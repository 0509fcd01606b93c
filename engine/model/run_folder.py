"""What a training run keeps on disk, and how nothing of it gets lost.

`state.pt` is the last complete state (fp32 weights, their running mean, optimiser, step, data position), `previous.pt`
the one before. A state is written beside them and renamed when it is whole, so an interrupt, a full disk or a power cut
costs the minutes since the last save, never the run. `model/` holds the running mean as a model folder that every
`--model` takes; `log.jsonl` a line a step; `pid` the process that is at work.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import save_file

from engine.checkpoint import Checkpoint
from engine.errors import RemaskError
from engine.model.architecture import to_tensors
from engine.model.processes import alive


class RunError(RemaskError):
    """A training run cannot start or go on; the text says what to do."""


class RunFolder:
    """The files of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise RunError(f"cannot make the run's folder {folder}: {problem}") from None

    @property
    def log_file(self) -> Path:
        """One JSON object a line: steps (`step`) and evaluations (`dev`)."""
        return self.folder / "log.jsonl"

    def claim(self) -> None:
        """Write the pid file; `RunError` when another living process has the run."""
        pid_file = self.folder / "pid"
        try:
            other = int(pid_file.read_text())
        except (OSError, ValueError):
            other = 0
        if other > 0 and other != os.getpid() and alive(other):
            raise RunError(f"process {other} is training in {self.folder}: stop it first (kill -INT {other})")
        pid_file.write_text(str(os.getpid()))

    def leave(self) -> None:
        """Remove the pid file."""
        (self.folder / "pid").unlink(missing_ok=True)

    def load(self) -> dict[str, Any] | None:
        """The last whole state, or None in a new run; `RunError` when both states are damaged."""
        damage: list[str] = []
        for name in ("state.pt", "previous.pt"):
            path = self.folder / name
            if not path.is_file():
                continue
            try:
                state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
                if isinstance(state, dict) and "step" in state:
                    return state
                damage.append(f"{path} holds no training state")
            except Exception as problem:  # torch raises what it likes on a file that was cut short
                damage.append(f"{path} is damaged ({str(problem).splitlines()[0]})")
        if damage:
            raise RunError(
                "; ".join(damage)
                + f": move both away and start again from {self.folder / 'model'} with --from, if that is there"
            )
        return None

    def save(self, state: dict[str, Any]) -> None:
        """Make `state` the last whole state; `OSError` when the disk is full (the last one is then still there)."""
        part = self.folder / "state.pt.part"
        try:
            with part.open("wb") as f:
                torch.save(state, f)
                f.flush()
                os.fsync(f.fileno())
            last = self.folder / "state.pt"
            if last.exists():
                os.replace(last, self.folder / "previous.pt")
            os.replace(part, last)
        except (OSError, RuntimeError) as problem:
            part.unlink(missing_ok=True)
            raise OSError(str(problem).splitlines()[0]) from None

    def save_model(self, checkpoint: Checkpoint, weights: dict[str, torch.Tensor], about: dict[str, Any]) -> None:
        """Write `weights` as a model folder with fp32 tensors, replacing the last one at once.

        `about` is what `config.json` tells of the training; its `context` are the tokens of the windows seen there.
        """
        home, part = self.folder / "model", self.folder / "model.part"
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir()
            raw = json.loads((checkpoint.folder / "config.json").read_text(encoding="utf-8"))
            raw["remask"]["training"] = about
            if "context" in about:
                raw["remask"]["context_trained"] = about["context"]
            (part / "config.json").write_text(json.dumps(raw, indent=1), encoding="utf-8")
            shutil.copy(checkpoint.tokenizer_file, part / "tokenizer.json")
            tensors = {n: np.ascontiguousarray(t) for n, t in to_tensors(checkpoint.config, weights).items()}
            save_file(tensors, part / "model.safetensors")
            old = self.folder / "model.old"
            shutil.rmtree(old, ignore_errors=True)
            if home.exists():
                os.replace(home, old)
            os.replace(part, home)
            shutil.rmtree(old, ignore_errors=True)
        except (OSError, SafetensorError) as problem:  # the latter is what the library makes of a full disk
            shutil.rmtree(part, ignore_errors=True)
            raise problem if isinstance(problem, OSError) else OSError(str(problem)) from None

    def log(self, record: dict[str, Any]) -> None:
        """Append one line to the log."""
        with self.log_file.open("a", encoding="utf-8") as f:
            f.write(json.dumps(record) + "\n")
