"""`remask`: one subcommand a module, imported only when asked for, so that each starts fast."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from importlib.metadata import PackageNotFoundError, version

from engine.errors import RemaskError

COMMANDS = {
    "complete": ("engine.cli.complete_command", "complete code at a position in a file"),
    "repair": ("engine.cli.repair_command", "repair a file that does not parse"),
    "demo": ("engine.cli.demo_command", "watch a draft being denoised, step by step"),
    "bench": ("engine.cli.bench_command", "measure speed, repair and memory, side by side"),
    "doctor": ("engine.cli.doctor_command", "say what this installation has and what it lacks"),
    "engine": ("engine.cli.engine_command", "run the engine process that editors share"),
    "serve": ("engine.cli.serve_command", "run a team's engine on Ray Serve, and say who may use it"),
    "lsp": ("engine.cli.lsp_command", "run the language server over standard input and output"),
    "token": ("engine.cli.token_command", "keep the token of a team's engine in the system's keyring"),
    "stats": ("engine.cli.stats_command", "count suggestions shown, accepted and rejected in your editors"),
    "model": ("engine.cli.model_command", "build the corpus, train, evaluate and export the denoiser"),
}


def package_version() -> str:
    """The installed version; "0+source" in a source tree that is not installed."""
    try:
        return version("remask")
    except PackageNotFoundError:
        return "0+source"


def main(argv: list[str] | None = None) -> int:
    """Run a subcommand; exit codes: 0 done, 1 left something undone, 2 bad input."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="remask", description="Completes and repairs code by diffusion, locally.")
    parser.add_argument("--version", action="version", version=f"remask {package_version()}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    asked = next((a for a in arguments if not a.startswith("-")), None)
    module = None
    for name, (where, summary) in COMMANDS.items():
        if name == asked:
            module = importlib.import_module(where)
            module.add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=summary)
    args = parser.parse_args(arguments)
    if module is None:
        parser.error("name a command")
    try:
        return int(module.run(args))
    except RemaskError as error:
        print(f"remask: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of our output left (`remask … | head`): nothing to say, and nowhere to say it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
