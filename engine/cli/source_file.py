"""Source files on disk: read with every way it can go wrong named, written back without losing a byte."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import tempfile
import tokenize
from dataclasses import dataclass
from pathlib import Path

import grammars
from engine.errors import BadRequestError

MAX_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file's text exactly as on disk (line endings kept), its language and its encoding."""

    path: Path
    text: str
    language: str
    encoding: str
    bom: bytes

    def offset(self, line: int, column: int) -> int:
        """The character offset of a 1-based line and column; `BadRequestError` when it lies outside the file."""
        lines = self.text.split("\n")
        if not 1 <= line <= len(lines):
            raise BadRequestError(f"{self.path} has {len(lines)} lines: --line {line} is outside it")
        width = len(lines[line - 1].removesuffix("\r"))
        if not 1 <= column <= width + 1:
            raise BadRequestError(
                f"line {line} of {self.path} has columns 1 to {width + 1}: --column {column} is not one"
            )
        return sum(len(text) + 1 for text in lines[: line - 1]) + column - 1

    def write(self, text: str) -> None:
        """Replace the file's contents in one step: a crash or a full disk leaves the old file."""
        target = self.path.resolve()
        try:
            data = self.bom + text.encode(self.encoding)
            mode = target.stat().st_mode & 0o7777
            handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        except (OSError, UnicodeEncodeError) as failure:
            raise BadRequestError(f"cannot write {self.path}: {failure}; the file is unchanged") from None
        try:
            with os.fdopen(handle, "wb") as f:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
            os.chmod(name, mode)
            os.replace(name, target)
        except OSError as failure:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise BadRequestError(f"cannot write {self.path}: {failure}; the file is unchanged") from None


def read_source(path: str, language: str | None = None) -> SourceFile:
    """Read a source file; `BadRequestError` says what is wrong with it. `language` overrides the file's extension."""
    where = Path(path)
    known = ", ".join(grammars.names())
    try:
        if where.is_dir():
            raise BadRequestError(f"{path} is a folder: name a file")
        size = where.stat().st_size
        if size > MAX_BYTES:
            raise BadRequestError(f"{path} has {size:,} bytes: Remask reads files of at most {MAX_BYTES:,}")
        data = where.read_bytes()
    except FileNotFoundError:
        raise BadRequestError(f"{path} does not exist") from None
    except OSError as failure:
        raise BadRequestError(f"cannot read {path}: {failure.strerror or failure}") from None
    if language is not None:
        try:
            name = grammars.get(language).name
        except grammars.UnknownLanguageError as unknown:
            raise BadRequestError(str(unknown)) from None
    else:
        found = grammars.for_path(path)
        if found is None:
            raise BadRequestError(f"{path}: no language is known by this extension; use --language with one of {known}")
        name = found.name
    if b"\0" in data:
        raise BadRequestError(f"{path} holds zero bytes: it is not a text file")
    bom = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    encoding = _declared_encoding(data, path) if name == "python" else "utf-8"
    try:
        text = data[len(bom) :].decode(encoding)
    except UnicodeDecodeError as wrong:
        raise BadRequestError(
            f"{path} is not {encoding} text (byte {wrong.start + len(bom)}): convert it to UTF-8, "
            "or for Python declare its encoding in the first line"
        ) from None
    return SourceFile(where, text, name, encoding, bom)


def _declared_encoding(data: bytes, path: str) -> str:
    """The encoding of a Python file (PEP 263)."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except SyntaxError as wrong:
        if "unknown encoding" in str(wrong):
            raise BadRequestError(f"{path} declares an unknown encoding: {wrong}") from None
        return "utf-8"
    return "utf-8" if encoding == "utf-8-sig" else encoding
