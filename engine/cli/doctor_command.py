"""`remask doctor`: what this installation has, which device it uses and why, and what would mend what is missing."""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import statistics
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import onnxruntime
from rich.console import Console

import grammars
from engine.checkpoint import Checkpoint
from engine.cli.main import package_version
from engine.device import INSTALL_GPU, choose, runtime_wheels
from engine.errors import RemaskError
from engine.service.options import EngineOptions

EDITORS = {"nvim": "lsp_server.neovim_check"}
LIBRARIES = ("numpy", "onnx", "tokenizers", "tree-sitter", "pygls", "lsprotocol", "msgpack")


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser("doctor", help="say what this installation has and what it lacks")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--editor", choices=tuple(EDITORS), help="look at an editor's setup as well")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--model", metavar="FOLDER", help="a model folder instead of the packaged one")
    parser.add_argument("--engine-url", metavar="URL", help="call a team's engine as well: remask.engine.url")
    parser.add_argument("--allow-plaintext", action="store_true", help="as remask.engine.allowPlaintext")


def run(args: argparse.Namespace) -> int:
    """Exit 0 when Remask can work, 1 when it cannot."""
    report, problems = examine(args.device, args.model)
    if args.engine_url:
        from engine.remote.diagnosis import examine as examine_team

        facts, more = examine_team(args.engine_url, args.allow_plaintext)
        report, problems = report | facts, problems + more
    else:
        report["team's engine"] = "none: no code leaves this machine (--engine-url looks at one)"
    if args.editor:
        facts, more = importlib.import_module(EDITORS[args.editor]).examine()
        report, problems = report | facts, problems + more
    if args.json:
        print(json.dumps(report | {"problems": problems}))
    else:
        console = Console(highlight=False)
        for key, value in report.items():
            console.print(f"[bold]{key:>14}[/bold]  {value}", soft_wrap=True)
        for problem in problems:
            console.print(f"[red]problem[/red]  {problem}", soft_wrap=True)
        if not problems:
            console.print("[green]Remask can work.[/green]")
    return 1 if problems else 0


def examine(device: str, model: str | None) -> tuple[dict[str, str], list[str]]:
    """Facts by name, and what is wrong."""
    problems: list[str] = []
    chosen = choose(device)
    wheels = runtime_wheels()
    report = {
        "remask": package_version(),
        "python": f"{platform.python_version()} at {sys.executable}",
        "platform": platform.platform(),
        "libraries": ", ".join(f"{name} {_version(name)}" for name in LIBRARIES),
        "onnx runtime": f"{onnxruntime.__version__} from {' and '.join(f'{n} {v}' for n, v in wheels.items()) or '?'}",
        "providers": ", ".join(onnxruntime.get_available_providers()),
        "languages": ", ".join(grammars.names()),
    }
    if len(wheels) > 1:
        problems.append(
            "onnxruntime and onnxruntime-gpu both own the module onnxruntime: remove both, then install one "
            f"(pip uninstall -y onnxruntime onnxruntime-gpu && {INSTALL_GPU})"
        )
    try:
        report |= _model(model, device)
    except RemaskError as error:
        problems.append(str(error))
        report["device"] = f"{chosen.name}: {chosen.reason}"
    if device == "cuda" and not report.get("device", "").startswith("cuda"):
        problems.append("CUDA was asked for and cannot be used (see device)")
    return report, problems


def _model(model: str | None, device: str) -> dict[str, str]:
    from engine.calibration import calibrate
    from engine.denoiser import Denoiser
    from engine.footprint import describe

    started = time.perf_counter()
    folder = EngineOptions(model=model).model_folder  # as an engine process would have it: `~` means the home folder
    checkpoint = Checkpoint(Path(folder) if folder else None)
    denoiser = Denoiser(checkpoint, choose(device))
    loaded = (time.perf_counter() - started) * 1e3
    cache = denoiser.new_cache()
    ids = [checkpoint.config.reserved.suffix] * 64
    denoiser.causal(cache, ids, 0, [0])
    times = []
    for _ in range(9):
        at = time.perf_counter()
        denoiser.causal(cache, ids[:1], 64, [0])
        times.append((time.perf_counter() - at) * 1e3)
    used = denoiser.device
    graphs = {"cuda graphs": denoiser.no_graphs or "in use"} if used.name == "cuda" else {}
    return graphs | {
        "model": f"{checkpoint.name} in {checkpoint.folder}",
        "device": f"{used.name} ({denoiser.precision}, {used.threads} threads): {used.reason}",
        "size": describe(checkpoint.config, denoiser.precision, denoiser.capacity),
        "forward pass": f"{statistics.median(times):.1f} ms for K = 1, model loaded in {loaded:.0f} ms",
        "calibration": calibrate(denoiser).describe(),
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"
