"""Where a cursor expects several lines rather than the rest of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tree_sitter

if TYPE_CHECKING:
    from grammars.source import Source


def invites_block(source: Source, offset: int) -> bool:
    """True behind a block's opening (a Python header's colon, a brace) and on an empty line of an empty body."""
    text = source.text
    start = text.rfind("\n", 0, offset) + 1
    stop = text.find("\n", offset)
    rest = text[offset : stop if stop >= 0 else len(text)].strip()
    if rest and rest not in ("}", ")", "})", "});"):
        return False
    line = text[start:offset].strip()
    if not line:
        header = text[:start].rstrip()
        line = header[header.rfind("\n") + 1 :].strip()
    # Most lines open none, which is told without a tree.
    return opens_block(source, line) and not source.inside_comment_or_string(offset) and not has_body(source, offset)


def opens_block(source: Source, line: str) -> bool:
    """Whether a line, stripped, ends by opening a block."""
    language = source.language
    line = line.split(language.line_comment)[0].rstrip() if language.line_comment in line else line
    if not line.endswith(language.header_end):
        return False
    if not language.indentation_matters:
        return True
    return line.split(" ", 1)[0].rstrip(":(") in language.headers


def has_body(source: Source, offset: int) -> bool:
    """Whether the block that the cursor is in, or opens, already has statements."""
    text, language = source.text, source.language
    if not language.indentation_matters:
        cursor = tree_sitter.QueryCursor(language.query("blocks"))
        at = source.byte(offset)
        cursor.set_byte_range(max(at - 1, 0), at + 1)
        bodies = [n for nodes in cursor.captures(source.tree.root_node).values() for n in nodes]
        around = [n for n in bodies if n.start_byte < at <= n.end_byte]
        innermost = min(around, key=lambda n: n.end_byte - n.start_byte, default=None)
        return innermost is not None and innermost.named_child_count > 0
    start = text.rfind("\n", 0, offset) + 1
    line = text[start:offset]
    header = line if line.strip() else text[:start].rstrip().rsplit("\n", 1)[-1]
    return deeper_follows(text, offset, len(header) - len(header.lstrip()))


def deeper_follows(text: str, offset: int, indent: int) -> bool:
    """Whether the next line that is not blank has more than `indent` columns of blanks."""
    for following in text[offset:].split("\n", 64)[1:64]:
        if following.strip():
            return len(following) - len(following.lstrip()) > indent
    return False
