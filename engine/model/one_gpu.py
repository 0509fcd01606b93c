"""Half an hour on one borrowed card with no network: pack here, receive and train there, bring the weights back.

    python -m engine.model.one_gpu pack OUT [--corpus FOLDER] [--model FOLDER]      here: numbered folders to carry over
    python -m engine.model.one_gpu receive PARCEL HOME                              there, for each folder that arrived
    python -m engine.model.one_gpu train HOME --minutes 20                          there: detaches, returns at once
    python -m engine.model.one_gpu status HOME                                      there
    python -m engine.model.one_gpu bring HOME OUT --from-piece 0 --pieces 4         there: pieces of the last weights
    python -m engine.model.one_gpu assemble PARCEL OUT                              here: a model folder again

The other machine needs Python, torch, numpy, safetensors and tokenizers only: `pack` sends the code that trains along.
Training begins with the first shard and takes up others as they arrive; started again, it goes on where it stopped.
The timetable is in docs/training.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from safetensors.numpy import save_file

from engine.checkpoint import Checkpoint
from engine.errors import RemaskError
from engine.model import parcels

PARCEL = 58_000_000  # bytes a transfer
PIECE = 14_000_000  # bytes a file
ROOT = Path(__file__).parent.parent.parent
# What training imports; none of it needs the runtime, the grammars or the terminal's libraries.
CODE = (
    "engine/errors.py",
    "engine/checkpoint.py",
    "engine/vocabulary.py",
    "engine/window.py",
    "engine/model/__init__.py",
    *(
        f"engine/model/{name}.py"
        for name in (
            "architecture attention batches curve cuts damage manifest noise objective one_gpu parcels "
            "run_folder samples shards speed training"
        ).split()
    ),
)


def contents(model: Path, corpus: Path) -> Iterator[tuple[Path, str]]:
    """(file, name over there) in the order in which they are needed: code, weights, then shard by shard."""
    for name in CODE:
        yield ROOT / name, name
    for path in sorted(model.iterdir()):
        if path.suffix in (".json", ".safetensors"):
            yield path, f"base/{path.name}"
    shards = sorted(corpus.glob("train-*-[0-9][0-9][0-9].json"))
    if not shards:
        raise RemaskError(f"no train shards in {corpus}: build them with `remask model corpus --out {corpus}`")
    # Languages take turns, so that the first shards are a fair sample of all.
    shards.sort(key=lambda p: (p.stem.rsplit("-", 1)[1], p.stem))
    dev = sorted(corpus.glob("dev-*-[0-9][0-9][0-9].json"))
    for about in [*shards[:1], *dev, *shards[1:]]:
        for suffix in (".bin", ".spans.npy", ".json"):
            yield corpus / (about.stem + suffix), f"corpus/{about.stem}{suffix}"


def shrink(checkpoint: Checkpoint, out: Path) -> None:
    """Write a model with int8 rows and their fp32 scales, a quarter of the bytes, into the folder `out`."""
    out.mkdir(parents=True)
    tensors = {}
    for name in checkpoint.names():
        if name.endswith(".scale"):
            continue
        if len(checkpoint.raw(name).shape) == 2:
            tensors[name], tensors[name.removesuffix("weight") + "scale"] = checkpoint.quantised(name)
        else:
            tensors[name] = checkpoint.dense(name)
    save_file(tensors, out / "model.safetensors", {"format": "pt"})
    for file in (checkpoint.folder / "config.json", checkpoint.tokenizer_file):
        shutil.copyfile(file, out / file.name)


def pack(out: Path, corpus: Path, model: Path) -> list[Path]:
    """Write the parcels into an empty `out`; a model that is not yet int8 is quantised first."""
    if out.exists() and any(out.iterdir()):
        raise RemaskError(f"{out} is not empty: name a new folder")
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = Checkpoint(model)
    home = checkpoint.folder
    if checkpoint.raw("model.embed_tokens.weight").itemsize > 1:
        home = out / "quantised"
        shrink(checkpoint, home)
    empty = out / "empty"
    empty.write_text('"""The part of Remask that trains."""\n', encoding="utf-8")
    folders = parcels.send([(empty, "engine/__init__.py"), *contents(home, corpus)], out, PIECE, PARCEL)
    empty.unlink()
    shutil.rmtree(out / "quantised", ignore_errors=True)
    return folders


def train(home: Path, minutes: float, extra: list[str]) -> int:
    """Start training detached in `home`; returns the process id. A run that is at work already is an error."""
    if not (home / "base" / "config.json").is_file() or not list((home / "corpus").glob("train-*.json")):
        raise RemaskError(f"{home} has no base weights or no shard yet: receive more parcels first")
    command = [sys.executable, "-m", "engine.model.one_gpu", "work", str(home), "--minutes", str(minutes), *extra]
    with (home / "out.txt").open("ab") as log:
        child = subprocess.Popen(
            command, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    for _ in range(40):  # a mistake shows in the first seconds: say it now, not at the next call
        time.sleep(0.25)
        if child.poll() is not None:
            break
        if (home / "run" / "pid").is_file():
            return child.pid
    if child.poll() is not None and child.returncode:
        raise RemaskError(f"training did not start: {_tail(home / 'out.txt')}")
    return child.pid


def work(home: Path, args: argparse.Namespace) -> int:
    """Train in this process until the time is used up."""
    from engine.model.training import train_command

    return train_command(
        argparse.Namespace(
            run=home / "run",
            corpus=home / "corpus",
            start=home / "base",
            minutes=args.minutes,
            steps=args.steps,
            rate=args.rate,
            positions=args.positions,
            accumulate=args.accumulate,
            device=args.device,
            save_every=args.save_every,
            seed=0,
            watch=20.0,
        )
    )


def bring(home: Path, out: Path, first: int, count: int) -> tuple[int, int]:
    """Copy `count` pieces of the last weights, from number `first` on, to `out`: (copied, pieces there are).

    The pieces are cut once for each save and keep their numbers until `bring` is asked for number 0 again, so several
    calls bring one and the same model, however far training goes on between them.
    """
    cut = home / "pieces"
    if first == 0 or not cut.is_dir():
        if not (home / "run" / "model" / "config.json").is_file():
            raise RemaskError(f"nothing is saved in {home / 'run'} yet: {_tail(home / 'out.txt')}")
        shutil.rmtree(cut, ignore_errors=True)
        shutil.rmtree(home / "export", ignore_errors=True)
        # A save may replace the model while it is read: read a link of our own.
        snapshot = home / "snapshot"
        shutil.rmtree(snapshot, ignore_errors=True)
        shutil.copytree(home / "run" / "model", snapshot, copy_function=os.link)
        shrink(Checkpoint(snapshot), home / "export")
        shutil.copyfile(home / "run" / "log.jsonl", home / "export" / "log.jsonl")
        parcels.send([(p, p.name) for p in sorted((home / "export").iterdir())], cut, PIECE)
    pieces = sorted(cut.iterdir(), key=lambda p: (not p.name.endswith(parcels.INDEX), p.name))
    small = [p for p in pieces if p.stat().st_size < 100_000]
    large = [p for p in pieces if p.stat().st_size >= 100_000]
    out.mkdir(parents=True, exist_ok=True)
    wanted = large[first : first + count]
    if first == 0 and small:
        # One file for all the small ones: transfers count files.
        with zipfile.ZipFile(out / "small.zip", "w") as z:
            for path in small:
                z.write(path, path.name)
    for piece in wanted:
        shutil.copyfile(piece, out / piece.name)
    return len(wanted), len(large)


def assemble(parcel: Path, out: Path) -> list[str]:
    """Put the pieces that were brought back together in `out`, a model folder when all are there."""
    if not parcel.is_dir():
        raise RemaskError(f"no folder {parcel}: name the folder of pieces that came back")
    for archive in sorted(parcel.glob("*.zip")):
        with zipfile.ZipFile(archive) as z:
            z.extractall(out / "inbox")
    _, waiting = parcels.receive(parcel, out)
    if waiting:
        raise parcels.ParcelError(f"still missing pieces of {', '.join(waiting)}: bring them too, then run this again")
    shutil.rmtree(out / "inbox", ignore_errors=True)
    return sorted(p.name for p in out.iterdir())


def _tail(path: Path, lines: int = 5) -> str:
    try:
        return " | ".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return "no output yet"


def main(argv: list[str] | None = None) -> int:
    """Run one command; exit codes as `remask`."""
    parser = argparse.ArgumentParser(prog="python -m engine.model.one_gpu", description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("pack", help="write the parcels to carry over")
    sub.add_argument("out", type=Path)
    sub.add_argument("--corpus", type=Path, default=Path("corpus"))
    sub.add_argument("--model", type=Path, default=ROOT / "engine" / "weights")
    sub = commands.add_parser("receive", help="take over a parcel that arrived")
    sub.add_argument("parcel", type=Path)
    sub.add_argument("home", type=Path)
    for name, text in (("train", "start training, detached"), ("work", "train in this process")):
        sub = commands.add_parser(name, help=text)
        sub.add_argument("home", type=Path)
        sub.add_argument("--minutes", type=float, default=20.0)
        sub.add_argument("--steps", type=int)
        sub.add_argument("--rate", type=float)
        sub.add_argument("--positions", type=int)
        sub.add_argument("--accumulate", type=int)
        sub.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
        sub.add_argument("--save-every", type=float, default=2.5)
    sub = commands.add_parser("status", help="the last lines of the run")
    sub.add_argument("home", type=Path)
    sub = commands.add_parser("bring", help="pieces of the last weights, for the way back")
    sub.add_argument("home", type=Path)
    sub.add_argument("out", type=Path)
    sub.add_argument("--from-piece", type=int, default=0)
    sub.add_argument("--pieces", type=int, default=4)
    sub = commands.add_parser("assemble", help="a model folder from the pieces that came back")
    sub.add_argument("parcel", type=Path)
    sub.add_argument("out", type=Path)
    arguments = sys.argv[1:] if argv is None else argv
    args = parser.parse_args(arguments)
    try:
        if args.command == "pack":
            for folder in pack(args.out, args.corpus, args.model):
                size = sum(p.stat().st_size for p in folder.iterdir())
                print(f"{folder}  {size / 1e6:.1f} MB in {len(list(folder.iterdir()))} files")
        elif args.command == "receive":
            appeared, waiting = parcels.receive(args.parcel, args.home)
            print(f"arrived: {len(appeared)} files; still in pieces: {', '.join(waiting) or 'none'}")
        elif args.command == "train":
            given = next(n for n, word in enumerate(arguments) if n and Path(word) == args.home)
            extra = arguments[1:given] + arguments[given + 1 :]
            print(
                f"training as process {train(args.home.resolve(), args.minutes, extra)}; log in {args.home / 'out.txt'}"
            )
        elif args.command == "work":
            return work(args.home, args)
        elif args.command == "status":
            print(_tail(args.home / "out.txt", 12).replace(" | ", "\n"))
        elif args.command == "bring":
            copied, there = bring(args.home, args.out, args.from_piece, args.pieces)
            print(f"{copied} pieces from number {args.from_piece} on, of {there}")
        else:
            print("assembled: " + ", ".join(assemble(args.parcel, args.out)))
    except RemaskError as error:
        print(f"one_gpu: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
