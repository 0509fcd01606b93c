"""What a merge, a word processor or an interruption left in the code."""

from __future__ import annotations

import re
from collections.abc import Iterator

from grammars.edits.guess import Guess
from grammars.sites import Site

CONFLICT = re.compile(
    r"^<<<<<<<[^\n]*\n(?P<ours>.*?)(?:^\|\|\|\|\|\|\|[^\n]*\n.*?)?^=======[^\n]*\n(?P<theirs>.*?)^>>>>>>>[^\n]*(?:\n|\Z)",
    re.DOTALL | re.MULTILINE,
)
MARKER = re.compile(r"^(?:<<<<<<<|=======|>>>>>>>|\|\|\|\|\|\|\|)[^\n]*(?:\n|\Z)", re.MULTILINE)
FOREIGN = str.maketrans(
    {
        "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "‚": "'", "´": "'",
        "（": "(", "）": ")", "［": "[", "］": "]", "｛": "{", "｝": "}", "，": ",", "：": ":", "；": ";", "＝": "=",
        "．": ".", "＋": "+", "－": "-", "＊": "*", "／": "/", "＜": "<", "＞": ">", "！": "!", "？": "?",
        "＂": '"', "＇": "'", "、": ",", "。": ".", "–": "-", "—": "-", "−": "-", "×": "*", "…": "...",
        "≤": "<=", "≥": ">=", "≠": "!=",
        "\u00a0": " ", "\u2003": " ", "\u2009": " ", "\u202f": " ", "\u3000": " ",
        "\u200b": None, "\u200c": None, "\u200d": None, "\u2060": None, "\ufeff": None,
    }
)  # fmt: skip


def propose(site: Site) -> Iterator[Guess]:
    """Conflicts resolved to either side, characters that only look right, lines that say nothing."""
    text, lines = site.text, site.lines
    for found in CONFLICT.finditer(text):
        yield found.start(), found.end(), found["ours"], 0.6
        yield found.start(), found.end(), found["theirs"], 0.7
    for found in MARKER.finditer(text):
        yield found.start(), found.end(), "", 0.8
    for row in site.rows:
        start, end = lines.span(row)
        line = text[start:end]
        yield from _characters(site, row, start, end)
        if line.strip():
            after = min(end + 1 + (text[end : end + 2] == "\r\n"), len(text))
            tokens = site.line_tokens(row)
            yield start, after, "", 1.9 + 0.12 * (tokens[1] - tokens[0])
    # What is no token at all, the parser stops before at the end of the one that was.
    for row in {lines.neighbour(lines.row(stop), 1) for stop in site.stops} - {-1, *site.rows}:
        yield from _characters(site, row, *lines.span(row))


def _characters(site: Site, row: int, start: int, end: int) -> Iterator[Guess]:
    """Typographic quotes, full-width punctuation, invisible spaces: outside of strings first, then everywhere."""
    line = site.text[start:end]
    plain = line.translate(FOREIGN)
    if plain == line:
        return
    yield start, end, plain, 0.75
    outside, at = [], start
    for token in site.brackets.tokens:
        if token.end <= start or token.start >= end or token.kind not in ("string", "comment"):
            continue
        outside.append(site.text[at : max(token.start, at)].translate(FOREIGN))
        outside.append(site.text[max(token.start, at) : min(token.end, end)])
        at = min(token.end, end)
    outside.append(site.text[at:end].translate(FOREIGN))
    yield start, end, "".join(outside), 0.5
    stop = next((s for s in site.stops if start <= s < end and site.text[s].translate(FOREIGN) != site.text[s]), None)
    if stop is not None:
        yield stop, stop + 1, site.text[stop].translate(FOREIGN), 0.9
