"""Half an hour on one borrowed card with no network: pack here, receive and train there, bring the weights back.

    python -m engine.model.one_gpu pack OUT [--corpus FOLDER] [--model FOLDER]      here: numbered folders to carry over
    python -m engine.model.one_gpu receive PARCEL HOME                              there, for each folder that arrived
    python -m engine.model.one_gpu train HOME --minutes 17                          there: detaches after a first step
    python -m engine.model.one_gpu wait HOME --minutes 9                            there, so that the card stays ours
    python -m engine.model.one_gpu status HOME                                      there
    python -m engine.model.one_gpu bring HOME OUT --from-piece 0 --pieces 5         there: pieces of the last weights
    python -m engine.model.one_gpu assemble PARCEL OUT                              here: a model folder again

The other machine needs Python, torch, numpy, safetensors and tokenizers only: `pack` sends the code that trains along.
Training begins with the first shard and takes up others as they arrive; started again, it goes on where it stopped.
The timetable is in docs/training.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from safetensors.numpy import save_file

from engine.checkpoint import Checkpoint
from engine.errors import RemaskError
from engine.model import corpus_report, one_gpu_run, parcels, shards

PARCEL = 50_000_000  # bytes a transfer, beside which the tracked files travel
PIECE = 12_400_000  # bytes a file: four fill a parcel, five come back at once
SMALL = 2_000_000  # files below travel back in one
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
            "architecture attention batches corpus_report curve cuts damage learning_rows loader manifest noise "
            "objective one_gpu one_gpu_run parcels processes progress recipe run_folder samples shards speed "
            "spelling totals trainer training"
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
    # Held-out files first: a run that begins without them never measures. Then languages take turns, Python before the
    # others, so that the first shards are a fair sample of all.
    train = sorted(shards.read(corpus), key=lambda s: (s.name.rsplit("-", 1)[1], s.language != "python", s.name))
    for shard in [*corpus_report.held_out(corpus), *train]:
        for suffix in (".bin", ".spans.npy", ".json"):
            yield corpus / (shard.name + suffix), f"corpus/{shard.name}{suffix}"


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


def bring(home: Path, out: Path, first: int, count: int) -> tuple[int, int]:
    """Copy `count` pieces of the last weights, from number `first` on, to `out`: (copied, pieces there are).

    The pieces are cut once for each save and keep their numbers until `bring` is asked for number 0 again, so several
    calls bring one and the same model, however far training goes on between them.
    """
    cut = home / "pieces"
    if first == 0 or not cut.is_dir():
        shutil.rmtree(cut, ignore_errors=True)
        shutil.rmtree(home / "export", ignore_errors=True)
        shrink(Checkpoint(_snapshot(home)), home / "export")
        shutil.copyfile(home / "run" / "log.jsonl", home / "export" / "log.jsonl")
        parcels.send([(p, p.name) for p in sorted((home / "export").iterdir())], cut, PIECE)
    pieces = sorted(cut.iterdir(), key=lambda p: (not p.name.endswith(parcels.INDEX), p.name))
    small = [p for p in pieces if p.stat().st_size < SMALL]
    large = [p for p in pieces if p.stat().st_size >= SMALL]
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


def _snapshot(home: Path) -> Path:
    """Links of our own to the files of the last model: a save may replace it while it is read."""
    snapshot = home / "snapshot"
    for again in (True, False):
        shutil.rmtree(snapshot, ignore_errors=True)
        try:
            shutil.copytree(home / "run" / "model", snapshot, copy_function=os.link)
            return snapshot
        except (OSError, shutil.Error):
            if again:
                time.sleep(1.0)  # between two renames of a save there is none
    raise RemaskError(f"nothing is saved in {home / 'run'} yet: {one_gpu_run.tail(home)}")


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine.model.one_gpu", description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("pack", help="write the parcels to carry over")
    sub.add_argument("out", type=Path)
    sub.add_argument("--corpus", type=Path, default=Path("corpus"))
    sub.add_argument("--model", type=Path, default=ROOT / "engine" / "weights")
    sub.add_argument("--anyway", action="store_true", help="a corpus that is not what the packaged manifest gives, too")
    sub = commands.add_parser("receive", help="take over a parcel that arrived")
    sub.add_argument("parcel", type=Path)
    sub.add_argument("home", type=Path)
    texts = {
        "train": "start training, detached; returns after the first step",
        "work": "train here, again after a failure",
        "attempt": "train here once",
    }
    for name, text in texts.items():
        _run_arguments(commands.add_parser(name, help=text))
    sub = commands.add_parser("wait", help="return when the time is up or the run has ended")
    sub.add_argument("home", type=Path)
    sub.add_argument("--minutes", type=float, default=9.0)
    sub = commands.add_parser("status", help="the last lines of the run")
    sub.add_argument("home", type=Path)
    sub = commands.add_parser("bring", help="pieces of the last weights, for the way back")
    sub.add_argument("home", type=Path)
    sub.add_argument("out", type=Path)
    sub.add_argument("--from-piece", type=int, default=0)
    sub.add_argument("--pieces", type=int, default=5)
    sub = commands.add_parser("assemble", help="a model folder from the pieces that came back")
    sub.add_argument("parcel", type=Path)
    sub.add_argument("out", type=Path)
    return parser


def _run_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("home", type=lambda word: Path(word).resolve())
    sub.add_argument("--minutes", type=float, default=17.0)
    sub.add_argument(
        "--deadline", type=float, help="seconds since 1970, at which training ends whatever --minutes says"
    )
    sub.add_argument("--steps", type=int)
    sub.add_argument("--rate", type=float)
    sub.add_argument("--positions", type=int)
    sub.add_argument("--accumulate", type=int)
    # Named, so that a card that is not found is an error: a processor would not get anywhere in the time.
    sub.add_argument("--device", default="cuda", choices=["auto", "cpu", "cuda"])
    sub.add_argument("--save-every", type=float, default=2.5)
    sub.add_argument("--state-every", type=float, default=10.0)


def _pack(args: argparse.Namespace) -> None:
    if (missing := corpus_report.what_is_missing(args.corpus)) is not None and not args.anyway:
        raise RemaskError(f"{missing}: build it with `remask model corpus`, or pack it with --anyway")
    for folder in pack(args.out, args.corpus, args.model):
        size = sum(p.stat().st_size for p in folder.iterdir())
        print(f"{folder}  {size / 1e6:.1f} MB in {len(list(folder.iterdir()))} files")
    for name, count in corpus_report.tokens(args.corpus).items():
        print(f"{name:>18}  {count / 1e6:7.2f} M tokens")
    if refused := corpus_report.left_out(args.corpus):
        print(f"left out of the corpus when it was built: {', '.join(refused)}")


def main(argv: list[str] | None = None) -> int:
    """Run one command; exit codes as `remask`."""
    args = _parser().parse_args(argv)
    try:
        if args.command == "pack":
            _pack(args)
        elif args.command == "receive":
            appeared, waiting = parcels.receive(args.parcel, args.home)
            print(f"arrived: {len(appeared)} files; still in pieces: {', '.join(waiting) or 'none'}")
        elif args.command == "train":
            print(one_gpu_run.train(args.home, args))
        elif args.command == "work":
            return one_gpu_run.supervise(args.home, args)
        elif args.command == "attempt":
            return one_gpu_run.attempt(args.home, args)
        elif args.command == "wait":
            print(one_gpu_run.wait(args.home, args.minutes))
        elif args.command == "status":
            print(one_gpu_run.tail(args.home, 12))
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
