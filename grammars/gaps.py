"""Valid code that a grammar rejects: masked before it is parsed, so that it is neither blamed nor repaired.

Each mask keeps the length, in characters and in bytes of UTF-8, so that every offset stays what it is.
docs/regions.md lists the gaps; all were found by parsing published packages and the feature lists of the languages with
the pinned grammars.
"""

from __future__ import annotations

import re

from grammars.registry import Language

# A pattern's group "gap" becomes blanks, or what MASKS says.
PHASED = re.compile(r"\bimport\s+(?P<gap>defer|source)(?=\s+(?:\*|(?!from\b)[\w$]+\s+from\b))")  # stage 3 proposals
ASSERTED = re.compile(r"\bfrom\s*(['\"])[^'\"\n]*\1\s+(?P<gap>assert)(?=\s*\{)")  # the older word for `with`
ACCESSOR = re.compile(r"(?:^|[{};])[ \t]*(?:static\s+)?(?P<gap>accessor)(?=\s+[\w#$])", re.MULTILINE)
TYPE_STAR = re.compile(r"\bexport\s+(?P<gap>type)(?=\s*\*)")
IMPORTED_TYPE = re.compile(
    r"\bimport\(\s*(['\"])[^'\"\n]*\1\s*\)(?:\.[\w$]+)+(?P<gap><[^<>{}()\n\U00010000-\U0010ffff]*>)"
)
VARIANCE = re.compile(r"(?:[<,]|\*/)\s*(?P<gap>in\s+out|in|out)(?=\s+[A-Za-z_$][\w$]*\s*(?:[,>=]|extends\b))")
CONST_PARAMETER = re.compile(r"<\s*(?P<gap>const)(?=\s+[A-Za-z_$][\w$]*\s*(?:[,>=]|extends\b))")
PARAMETERS = re.compile(r"\b(?:interface|class|type)\s+[\w$]+\s*<[^;]{0,800}")
# A pattern is only looked for where all of its words are: looking for a word takes no time.
WORDS = {
    PHASED: ("import",),
    ASSERTED: ("from", "assert"),
    ACCESSOR: ("accessor",),
    TYPE_STAR: ("export", "type"),
    IMPORTED_TYPE: ("import(", "<"),
    CONST_PARAMETER: ("const", "<"),
}
MASKS = {"assert": "with  "}
BLANKS = {1: " ", 2: "\u00a0", 3: "\u3000"}  # by their bytes of UTF-8; none has four

GAPS: dict[str, tuple[re.Pattern[str], ...]] = {
    "javascript": (PHASED, ASSERTED, ACCESSOR),
    "typescript": (PHASED, TYPE_STAR, IMPORTED_TYPE, CONST_PARAMETER),
    "tsx": (PHASED, TYPE_STAR, IMPORTED_TYPE, CONST_PARAMETER),
}


def mask(language: Language, text: str) -> str:
    """The text with known gaps of the grammar blanked out; the same length, and the same object when there are none."""
    for pattern in GAPS.get(language.name, ()):
        if all(word in text for word in WORDS[pattern]):
            text = pattern.sub(_blank, text)
    if language.name in ("typescript", "tsx") and "<" in text:
        text = PARAMETERS.sub(lambda found: VARIANCE.sub(_blank, found.group()), text)
    return text


def _blank(found: re.Match[str]) -> str:
    start, end = found.start("gap") - found.start(), found.end("gap") - found.start()
    whole, gap = found.group(), found.group("gap")
    blank = " " * len(gap) if gap.isascii() else "".join(BLANKS[len(c.encode("utf-8", "replace"))] for c in gap)
    return whole[:start] + MASKS.get(gap, blank) + whole[end:]
