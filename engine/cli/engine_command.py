"""`remask engine`: serve editors in the foreground; `--status`, `--stop` and `--forget` for what is there already."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from typing import Any

from engine.errors import BadRequestError
from engine.service.options import EngineOptions


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    defaults = EngineOptions()
    parser = subparsers.add_parser("engine", help="run the engine process that editors share")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--status", action="store_true", help="say which engines run; exit 1 when none does")
    action.add_argument("--stop", action="store_true", help="ask every running engine to leave")
    action.add_argument(
        "--forget", action="store_true", help="stop every engine and delete what the memory keeps on the disk"
    )
    action.add_argument("--background", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="with --status: print JSON")
    parser.add_argument("--device", default=defaults.device, help="auto, cpu or cuda")
    parser.add_argument("--model", metavar="FOLDER", help="a model folder instead of the packaged one")
    parser.add_argument("--no-memory", action="store_true", help="do not keep the workspace's files in memory")
    parser.add_argument(
        "--idle-minutes",
        type=float,
        default=defaults.idle_minutes,
        metavar="N",
        help="leave after N minutes without a request (default 15; 0: never)",
    )
    parser.add_argument("--transport", default=defaults.transport, help="auto, unix or tcp")
    parser.add_argument("--runtime-folder", metavar="FOLDER", help="for sockets and locks, instead of the user's own")
    parser.add_argument("--log-file", metavar="FILE")
    parser.add_argument("--log-level", default=defaults.log_level, help="debug, info, warning or error")


def run(args: argparse.Namespace) -> int:
    """Exit 0 after serving, 1 when `--status` finds nothing, 2 for bad input, 75 when an engine runs already."""
    options = EngineOptions(
        device=args.device,
        model=args.model,
        idle_minutes=args.idle_minutes,
        memory=not args.no_memory,
        log_file=args.log_file,
        log_level=args.log_level,
        transport=args.transport,
        runtime_folder=args.runtime_folder,
    )
    if args.status:
        return status(options, args.json)
    if args.stop:
        return stop(options)
    if args.forget:
        return forget(options)
    return serve(options, background=args.background)


def serve(options: EngineOptions, background: bool) -> int:
    """Run the engine in this process until it leaves."""
    from engine.service import process
    from engine.service.logs import start_log
    from engine.service.server import AlreadyRunningError
    from engine.service.spawn import LOST_THE_RACE

    if not 0 <= options.idle_minutes < 1e6:
        raise BadRequestError("--idle-minutes must be 0 (never) or a number of minutes")
    if options.device not in ("auto", "cpu", "cuda"):
        raise BadRequestError(f"unknown device {options.device!r}: choose auto, cpu or cuda")
    process.set_up()
    trouble = start_log(options.log_file, options.log_level, foreground=not background)
    code = 0
    try:
        asyncio.run(_serve(options, background, trouble))
    except AlreadyRunningError as other:
        print(f"remask: {other}", file=sys.stderr)
        code = LOST_THE_RACE
    # The engine's thread may be in a forward pass that nobody waits for any more.
    logging.shutdown()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


async def _serve(options: EngineOptions, background: bool, trouble: str) -> None:
    from engine.service.logs import redirect_output
    from engine.service.server import EngineServer

    server = EngineServer(options)
    server.note(trouble)
    loop = asyncio.get_running_loop()
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            with contextlib.suppress(NotImplementedError):  # Windows: the default handlers end the process
                loop.add_signal_handler(getattr(signal, name), server.leave, f"{name} received")
    await server.run(on_listening=(lambda: redirect_output(options.log_file)) if background else None)


def status(options: EngineOptions, as_json: bool) -> int:
    """Print what each engine is doing."""
    from engine.service.control import list_engines

    engines = asyncio.run(list_engines(options))
    if as_json:
        print(json.dumps({"engines": engines}))
    elif not engines:
        print("No engine is running: editors start one when they need it.")
    for engine in [] if as_json else engines:
        print(summary(engine))
    return 0 if engines else 1


def summary(engine: dict[str, Any]) -> str:
    """One engine in a line or two."""
    if "service" not in engine:
        return f"process {engine['pid']}: {engine['message']}"
    s = engine["service"]
    resident = f", {s['resident_bytes'] / 1e6:.0f} MB" if s["resident_bytes"] else ""
    asked = ", ".join(f"{n} {kind}" for kind, n in sorted(s["requests"].items())) or "none"
    what = f"{engine['model']} on {engine['device']}" if engine["model"] else engine["message"]
    note = f"\n  note: {engine['message']}" if engine["model"] and engine["message"] else ""
    return (
        f"process {s['pid']}: {engine['state']}, {what}\n"
        f"  up {s['uptime_s']:.0f} s, {s['clients']} clients{resident}; requests: {asked}{note}"
    )


def stop(options: EngineOptions) -> int:
    """Ask all engines to leave, and end those that do not hear."""
    from engine.service.control import stop_engines

    stopped = asyncio.run(stop_engines(options))
    for line in stopped:
        print(line)
    if not stopped:
        print("No engine is running.")
    return 0


def forget(options: EngineOptions) -> int:
    """Stop all engines, which would write on, and delete the tokens of workspace files."""
    from engine.memory.store import cache_file, delete

    stop(options)
    file = cache_file()
    try:
        gone = delete(file)
    except OSError as failure:
        raise BadRequestError(f"cannot delete {file}: {failure.strerror or failure}") from None
    print(f"{file} is gone: it is made anew when an engine reads a workspace." if gone else f"There was no {file}.")
    return 0
