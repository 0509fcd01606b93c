"""Realistic damage to lines of code: what slips of the keyboard, half-typed lines and merges leave behind.

Used to make repair samples, and, with a seed of its own, to evaluate repair. Knows no grammar: a lexical scan is enough
to hurt code.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

OPENERS = {"(": ")", "[": "]", "{": "}"}
CLOSERS = {c: o for o, c in OPENERS.items()}
TOKEN = re.compile(
    r"(?P<name>[^\W\d]\w*)|(?P<number>\d[\w.]*)|(?P<quote>\"\"\"|'''|[\"'`])|"
    r"(?P<operator>\*\*=?|//=?|===|!==|\.\.\.|=>|->|:=|&&|\|\||[-+*/%&|^<>=!]=|<<|>>|\+\+|--|[-+*/%&|^<>=!~@?])|"
    r"(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<mark>[,:;.])|(?P<other>\S)"
)
KEYWORDS = frozenset(
    "and as assert async await break case catch class const continue def del do elif else except export extends "
    "finally for from function global if import in instanceof interface is lambda let new not or pass raise return "
    "static super switch this throw try type typeof var void while with yield None True False null true false".split()
)
WRONG = {
    "==": ("=", "==="),
    "=": ("==", ":", ""),
    "=>": ("->", "="),
    "->": ("=>", "-"),
    "!=": ("=!", "<>", "!"),
    "===": ("=", "=="),
    "+=": ("=+", "+"),
    "<=": ("=<", "<"),
    ">=": ("=>", ">"),
    "&&": ("&", "and"),
    "||": ("|", "or"),
    "**": ("*", "^"),
    ":=": ("=",),
}
CONFUSED = {
    "elif": ("else if", "elseif", "elsif"),
    "def": ("function", "fn", "func", "define"),
    "function": ("def", "func", "fuction"),
    "and": ("&&", "&"),
    "or": ("||", "|"),
    "not": ("!", "no"),
    "None": ("null", "none"),
    "True": ("true",),
    "except": ("catch", "expect"),
    "catch": ("except", "catc"),
    "raise": ("throw",),
    "throw": ("raise",),
    "else": ("esle", "els"),
    "const": ("cosnt", "cont"),
    "return": ("retrun", "retunr", "reutrn"),
    "import": ("improt", "import import"),
    "class": ("calss", "clas"),
    "self": ("sefl", "slef"),
}

Damager = Callable[[str, str, np.random.Generator], str | None]
Match = re.Match[str]


def damage(text: str, language: str, rng: np.random.Generator, edits: int | None = None) -> tuple[str, list[str]]:
    """`text` (one or more whole lines) with one to three slips, and their names; unchanged when nothing could be hurt.

    `language` decides which kinds apply ("python" has indentation to get wrong).
    """
    wanted = edits if edits is not None else int(rng.choice([1, 2, 3], p=[0.72, 0.2, 0.08]))
    done: list[str] = []
    for _ in range(wanted * 6):
        if len(done) == wanted:
            break
        name = _NAMES[int(np.searchsorted(_SHARES, rng.random(), side="right"))]
        hurt = KINDS[name][0](text, language, rng)
        if hurt is not None and hurt != text:
            text = hurt
            done.append(name)
    return text, done


def _matches(text: str, *kinds: str) -> list[Match]:
    return [m for m in TOKEN.finditer(text) if m.lastgroup in kinds]


def _pick(rng: np.random.Generator, items: list[Match]) -> Match | None:
    return items[int(rng.integers(len(items)))] if items else None


def _replace(text: str, m: Match, new: str) -> str:
    return text[: m.start()] + new + text[m.end() :]


def _missing_delimiter(text: str, language: str, rng: np.random.Generator) -> str | None:
    # The closing one is forgotten more often than the opening one.
    m = _pick(rng, _matches(text, "close") or _matches(text, "open") if rng.random() < 0.7 else _matches(text, "open"))
    return None if m is None else _replace(text, m, "")


def _extra_delimiter(text: str, language: str, rng: np.random.Generator) -> str | None:
    m = _pick(rng, _matches(text, "open", "close"))
    return None if m is None else _replace(text, m, m.group() * 2)


def _stray_delimiter(text: str, language: str, rng: np.random.Generator) -> str | None:
    m = _pick(rng, _matches(text, "name", "number", "mark"))
    return None if m is None else _replace(text, m, m.group() + ")]}(["[int(rng.integers(5))])


def _swapped_delimiter(text: str, language: str, rng: np.random.Generator) -> str | None:
    m = _pick(rng, _matches(text, "open", "close"))
    if m is None:
        return None
    rivals = [d for d in (OPENERS if m.lastgroup == "open" else CLOSERS) if d != m.group()]
    return _replace(text, m, rivals[int(rng.integers(len(rivals)))])


def _missing_quote(text: str, language: str, rng: np.random.Generator) -> str | None:
    m = _pick(rng, _matches(text, "quote"))
    return None if m is None else _replace(text, m, "")


def _wrong_quote(text: str, language: str, rng: np.random.Generator) -> str | None:
    m = _pick(rng, [q for q in _matches(text, "quote") if len(q.group()) == 1])
    if m is None:
        return None
    other = {'"': "'", "'": '"', "`": "'"}[m.group()]
    return _replace(text, m, other if rng.random() < 0.6 else m.group() * 2)


def _missing_mark(text: str, language: str, rng: np.random.Generator) -> str | None:
    m = _pick(rng, _matches(text, "mark"))
    return None if m is None else _replace(text, m, "")


def _missing_header_end(text: str, language: str, rng: np.random.Generator) -> str | None:
    end = ":" if language == "python" else "{"
    ends = [m for m in re.finditer(re.escape(end) + r"[ \t]*(?=\n|$)", text)]
    m = _pick(rng, ends)
    if m is None:
        return None
    return _replace(text, m, "" if rng.random() < 0.75 else {":": ";", "{": ":"}[end])


def _wrong_mark(text: str, language: str, rng: np.random.Generator) -> str | None:
    m = _pick(rng, _matches(text, "mark"))
    if m is None:
        return None
    rivals = {",": ".;", ".": ",;", ":": ";=", ";": ":,"}[m.group()]
    return _replace(text, m, rivals[int(rng.integers(len(rivals)))] if rng.random() < 0.7 else m.group() * 2)


def _wrong_operator(text: str, language: str, rng: np.random.Generator) -> str | None:
    m = _pick(rng, [o for o in _matches(text, "operator") if o.group() in WRONG])
    if m is None:
        return None
    rivals = WRONG[m.group()]
    return _replace(text, m, rivals[int(rng.integers(len(rivals)))])


def _missing_operator(text: str, language: str, rng: np.random.Generator) -> str | None:
    m = _pick(rng, _matches(text, "operator"))
    return None if m is None else _replace(text, m, "")


def _confused_keyword(text: str, language: str, rng: np.random.Generator) -> str | None:
    m = _pick(rng, [w for w in _matches(text, "name") if w.group() in CONFUSED])
    if m is None:
        return None
    rivals = CONFUSED[m.group()]
    return _replace(text, m, rivals[int(rng.integers(len(rivals)))])


def _misspelt_keyword(text: str, language: str, rng: np.random.Generator) -> str | None:
    m = _pick(rng, [w for w in _matches(text, "name") if w.group() in KEYWORDS and len(w.group()) > 1])
    if m is None:
        return None
    word, at = m.group(), int(rng.integers(len(m.group()) - 1))
    slips = (
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        word[:at] + word[at + 1 :],
        word[: at + 1] + word[at:],
        word[:at] + "qwertasdfgyxcvbnhjklopui"[int(rng.integers(24))] + word[at + 1 :],
    )
    return _replace(text, m, slips[int(rng.integers(4))])


def _missing_word(text: str, language: str, rng: np.random.Generator) -> str | None:
    m = _pick(rng, [w for w in _matches(text, "name") if w.group() in KEYWORDS])
    return None if m is None else (text[: m.start()] + text[m.end() :].removeprefix(" "))


def _joined_words(text: str, language: str, rng: np.random.Generator) -> str | None:
    m = _pick(rng, list(re.finditer(r"(?<=\w) (?=[\w\"'])", text)))
    return None if m is None else _replace(text, m, "")


def _split_word(text: str, language: str, rng: np.random.Generator) -> str | None:
    m = _pick(rng, [w for w in _matches(text, "name", "operator") if len(w.group()) > 1])
    if m is None:
        return None
    at = int(rng.integers(1, len(m.group())))
    return _replace(text, m, m.group()[:at] + " " + m.group()[at:])


def _typed_twice(text: str, language: str, rng: np.random.Generator) -> str | None:
    m = _pick(rng, _matches(text, "name", "operator", "mark", "number"))
    if m is None:
        return None
    return _replace(text, m, m.group() + (" " if m.lastgroup in ("name", "number") else "") + m.group())


def _swapped_tokens(text: str, language: str, rng: np.random.Generator) -> str | None:
    found = [m for m in TOKEN.finditer(text)]
    if len(found) < 2:
        return None
    i = int(rng.integers(len(found) - 1))
    a, b = found[i], found[i + 1]
    return text[: a.start()] + b.group() + text[a.end() : b.start()] + a.group() + text[b.end() :]


def _indentation(text: str, language: str, rng: np.random.Generator) -> str | None:
    if language != "python":
        return None
    lines = text.split("\n")
    rows = [i for i, line in enumerate(lines) if line.strip()]
    if not rows:
        return None
    row = rows[int(rng.integers(len(rows)))]
    body = lines[row].lstrip()
    width = len(lines[row]) - len(body)
    wanted = width + int(
        rng.choice([-4, -3, -2, -1, 1, 2, 3, 4, 8], p=[0.2, 0.05, 0.08, 0.15, 0.17, 0.08, 0.02, 0.2, 0.05])
    )
    if wanted < 0:
        return None
    lines[row] = " " * wanted + body if rng.random() < 0.92 else "\t" + body
    return "\n".join(lines)


def _half_typed(text: str, language: str, rng: np.random.Generator) -> str | None:
    lines = text.split("\n")
    rows = [i for i, line in enumerate(lines) if len(line.strip()) > 6]
    if not rows:
        return None
    row = rows[int(rng.integers(len(rows)))]
    body = lines[row].lstrip()
    keep = int(rng.integers(max(len(body) // 2, 1), len(body)))
    lines[row] = lines[row][: len(lines[row]) - len(body) + keep]
    return "\n".join(lines)


def _merge_leftover(text: str, language: str, rng: np.random.Generator) -> str | None:
    lines = text.split("\n")
    marker = ("<<<<<<< HEAD", "=======", ">>>>>>> main", ">>>>>>> a1b2c3d", "<<<<<<< Updated upstream")
    at = int(rng.integers(len(lines) + 1))
    return "\n".join([*lines[:at], marker[int(rng.integers(len(marker)))], *lines[at:]])


def _joined_lines(text: str, language: str, rng: np.random.Generator) -> str | None:
    m = _pick(rng, list(re.finditer(r"(?<=\S)\n[ \t]*(?=\S)", text)))
    return None if m is None else _replace(text, m, " " if rng.random() < 0.6 else "")


def _broken_line(text: str, language: str, rng: np.random.Generator) -> str | None:
    m = _pick(rng, list(re.finditer(r"(?<=\S) (?=\S)", text)))
    return None if m is None else _replace(text, m, "\n")


def _stray_character(text: str, language: str, rng: np.random.Generator) -> str | None:
    m = _pick(rng, list(TOKEN.finditer(text)))
    if m is None:
        return None
    return text[: m.start()] + "\\`$#@!~;'\"^&|?"[int(rng.integers(14))] + text[m.start() :]


KINDS: dict[str, tuple[Damager, float]] = {
    "missing delimiter": (_missing_delimiter, 16),
    "extra delimiter": (_extra_delimiter, 7),
    "stray delimiter": (_stray_delimiter, 4),
    "swapped delimiter": (_swapped_delimiter, 5),
    "missing quote": (_missing_quote, 8),
    "wrong quote": (_wrong_quote, 4),
    "missing mark": (_missing_mark, 9),
    "missing header end": (_missing_header_end, 12),
    "wrong mark": (_wrong_mark, 5),
    "wrong operator": (_wrong_operator, 6),
    "missing operator": (_missing_operator, 4),
    "confused keyword": (_confused_keyword, 6),
    "misspelt keyword": (_misspelt_keyword, 8),
    "missing word": (_missing_word, 4),
    "joined words": (_joined_words, 4),
    "split word": (_split_word, 3),
    "typed twice": (_typed_twice, 5),
    "swapped tokens": (_swapped_tokens, 3),
    "indentation": (_indentation, 12),
    "half typed": (_half_typed, 6),
    "merge leftover": (_merge_leftover, 3),
    "joined lines": (_joined_lines, 4),
    "broken line": (_broken_line, 2),
    "stray character": (_stray_character, 3),
}
_NAMES = tuple(KINDS)
_SHARES = np.cumsum([weight for _, weight in KINDS.values()]) / sum(weight for _, weight in KINDS.values())
