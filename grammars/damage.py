"""Realistic damage to code that parses: what fingers, merges and other languages do to it, with the original known.

For benchmarks, tests and training. Seeded by the caller's `random.Random`; every result is broken (`accepts` says so),
so a kind that does no harm at a place is tried elsewhere.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from grammars.lexer import CLOSERS, OPENERS, Lines, Token, tokens
from grammars.registry import Language
from grammars.validity import accepts

APART = 3  # lines between two damages of one text
TRIES = 12  # places that a kind is tried at before it is given up for a text


@dataclass(frozen=True, slots=True)
class Change:
    """Replace `text[start:end]` by `new`."""

    start: int
    end: int
    new: str


@dataclass(frozen=True, slots=True)
class Damaged:
    """A broken text and what was done to it, in ascending order of place; offsets are the original's."""

    text: str
    kinds: tuple[str, ...]
    changes: tuple[Change, ...]

    @property
    def determined(self) -> bool:
        """Whether the text still says what the repair must be, apart from its exact place."""
        return all(KINDS[kind].determined for kind in self.kinds)


@dataclass(frozen=True)
class Subject:
    """A text to be damaged, scanned once."""

    language: Language
    text: str

    @cached_property
    def tokens(self) -> list[Token]:
        """Tokens without comments."""
        return [t for t in tokens(self.language, self.text) if t.kind != "comment"]

    @cached_property
    def lines(self) -> Lines:
        """Rows of the text."""
        return Lines(self.text)

    def where(self, wanted: Callable[[int, Token], bool]) -> list[int]:
        """Indices of the tokens that are wanted."""
        return [i for i, token in enumerate(self.tokens) if wanted(i, token)]

    def last_on_line(self, i: int) -> bool:
        """Whether token `i` is its line's last."""
        found = self.tokens
        return i + 1 == len(found) or "\n" in self.text[found[i].end : found[i + 1].start]

    def first_on_line(self, i: int) -> bool:
        """Whether token `i` is its line's first."""
        return i == 0 or self.last_on_line(i - 1)


Damage = Callable[[Subject, random.Random], Change | None]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of damage; `languages` is "" for all, "python", or "script" for the others."""

    make: Damage
    determined: bool = True
    languages: str = ""

    def fits(self, language: Language) -> bool:
        """Whether the kind makes sense in a language."""
        return not self.languages or (self.languages == "python") == language.indentation_matters


def damage(
    subject: Subject, random_: random.Random, count: int = 1, kinds: tuple[str, ...] | None = None
) -> Damaged | None:
    """`count` independent damages, each of which breaks the text by itself; None when no place was found for them."""
    language, text = subject.language, subject.text
    allowed = [k for k in (kinds or tuple(KINDS)) if KINDS[k].fits(language)]
    done: list[tuple[Change, str]] = []
    for _ in range(count * TRIES):
        if len(done) == count or not allowed:
            break
        kind = random_.choice(allowed)
        change = KINDS[kind].make(subject, random_)
        if change is None or any(_near(subject, change, other) for other, _ in done):
            continue
        if not accepts(language, apply(text, [change])):
            done.append((change, kind))
    if len(done) < count:
        return None
    done.sort(key=lambda pair: pair[0].start)
    broken = apply(text, [change for change, _ in done])
    return Damaged(broken, tuple(k for _, k in done), tuple(c for c, _ in done))


def apply(text: str, changes: list[Change]) -> str:
    """The text after changes that do not overlap."""
    for change in sorted(changes, key=lambda c: c.start, reverse=True):
        text = text[: change.start] + change.new + text[change.end :]
    return text


def _near(subject: Subject, a: Change, b: Change) -> bool:
    row = subject.lines.row
    return row(a.start) - APART <= row(b.end) and row(b.start) - APART <= row(a.end)


def _choose(subject: Subject, random_: random.Random, wanted: Callable[[int, Token], bool]) -> int | None:
    found = subject.where(wanted)
    return random_.choice(found) if found else None


def _drop(*kinds_or_texts: str) -> Damage:
    def make(subject: Subject, random_: random.Random) -> Change | None:
        i = _choose(subject, random_, lambda i, t: t.text in kinds_or_texts)
        return None if i is None else Change(subject.tokens[i].start, subject.tokens[i].end, "")

    return make


def _missing_header_end(subject: Subject, random_: random.Random) -> Change | None:
    end = subject.language.header_end
    i = _choose(subject, random_, lambda i, t: t.text == end and i > 0 and subject.last_on_line(i))
    if i is None:
        return None
    start = subject.tokens[i].start
    return Change(start - (subject.text[start - 1] == " "), subject.tokens[i].end, "")


def _extra_closer(subject: Subject, random_: random.Random) -> Change | None:
    i = _choose(subject, random_, lambda i, t: t.kind == "close")
    return None if i is None else Change(subject.tokens[i].end, subject.tokens[i].end, subject.tokens[i].text)


def _swapped_closer(subject: Subject, random_: random.Random) -> Change | None:
    i = _choose(subject, random_, lambda i, t: t.kind == "close" and not subject.first_on_line(i))
    if i is None:
        return None
    token = subject.tokens[i]
    return Change(token.start, token.end, random_.choice([c for c in CLOSERS if c != token.text]))


def _quoted(i: int, token: Token) -> bool:
    return token.kind == "string" and "\n" not in token.text and token.text[-1:] in "'\"" and len(token.text) > 2


def _missing_closing_quote(subject: Subject, random_: random.Random) -> Change | None:
    i = _choose(subject, random_, lambda i, t: _quoted(i, t) and t.text[-3:] not in ("'''", '"""'))
    return None if i is None else Change(subject.tokens[i].end - 1, subject.tokens[i].end, "")


def _missing_opening_quote(subject: Subject, random_: random.Random) -> Change | None:
    i = _choose(
        subject, random_, lambda i, t: _quoted(i, t) and t.text[0] in "'\"" and t.text[:3] not in ("'''", '"""')
    )
    return None if i is None else Change(subject.tokens[i].start, subject.tokens[i].start + 1, "")


def _doubled(subject: Subject, random_: random.Random) -> Change | None:
    i = _choose(subject, random_, lambda i, t: t.kind in ("operator", "name", "number"))
    if i is None:
        return None
    token = subject.tokens[i]
    space = " " if token.kind != "operator" else ""
    return Change(token.end, token.end, space + token.text)


def _stray(subject: Subject, random_: random.Random) -> Change | None:
    i = _choose(subject, random_, lambda i, t: True)
    if i is None:
        return None
    mark = random_.choice(") ] } , : ; . = @ / * ` \\ |".split())
    return Change(subject.tokens[i].end, subject.tokens[i].end, random_.choice(["", " "]) + mark)


def _misspelt(subject: Subject, random_: random.Random) -> Change | None:
    words = subject.language.keywords
    i = _choose(subject, random_, lambda i, t: t.kind == "name" and t.text in words and len(t.text) > 2)
    if i is None:
        return None
    token = subject.tokens[i]
    word, n = token.text, random_.randrange(len(token.text) - 1)
    form = random_.choice(("swap", "drop", "double"))
    if form == "swap":
        new = word[:n] + word[n + 1] + word[n] + word[n + 2 :]
    else:
        new = word[:n] + word[n + 1 :] if form == "drop" else word[: n + 1] + word[n:]
    return Change(token.start, token.end, new) if new != word else None


def _joined(subject: Subject, random_: random.Random) -> Change | None:
    words, found = subject.language.keywords, subject.tokens

    def wanted(i: int, token: Token) -> bool:
        after = found[i + 1] if i + 1 < len(found) else None
        return token.text in words and after is not None and after.kind == "name" and after.start == token.end + 1

    i = _choose(subject, random_, wanted)
    return None if i is None else Change(found[i].end, found[i + 1].start, "")


def _indentation(subject: Subject, random_: random.Random) -> Change | None:
    i = _choose(subject, random_, lambda i, t: subject.first_on_line(i))
    if i is None:
        return None
    start = subject.lines.span(subject.lines.row(subject.tokens[i].start))[0]
    margin = subject.text[start : subject.tokens[i].start]
    shift = random_.choice((-4, -2, -1, 1, 2, 4))
    if shift < 0:
        return Change(start, start - shift, "") if len(margin) >= -shift and margin.isspace() else None
    return Change(start, start, " " * shift)


def _tabs(subject: Subject, random_: random.Random) -> Change | None:
    i = _choose(
        subject, random_, lambda i, t: subject.first_on_line(i) and subject.text[t.start - 4 : t.start] == "    "
    )
    return None if i is None else Change(subject.tokens[i].start - 4, subject.tokens[i].start, "\t")


def _swap_text(pairs: dict[str, tuple[str, ...]]) -> Damage:
    def make(subject: Subject, random_: random.Random) -> Change | None:
        i = _choose(subject, random_, lambda i, t: t.text in pairs and t.kind != "string")
        if i is None:
            return None
        token = subject.tokens[i]
        new = random_.choice(pairs[token.text])
        end = token.end
        if new == "!" and subject.text[end : end + 1] == " ":
            end += 1
        return Change(token.start, end, new)

    return make


def _assignment(subject: Subject, random_: random.Random) -> Change | None:
    i = _choose(subject, random_, lambda i, t: t.text in ("==", "==="))
    return None if i is None else Change(subject.tokens[i].start, subject.tokens[i].end, "=")


def _elif(subject: Subject, random_: random.Random) -> Change | None:
    found = subject.tokens
    if subject.language.indentation_matters:
        i = _choose(subject, random_, lambda i, t: t.text == "elif")
        return None if i is None else Change(found[i].start, found[i].end, random_.choice(("else if", "elseif")))
    i = _choose(subject, random_, lambda i, t: t.text == "else" and i + 1 < len(found) and found[i + 1].text == "if")
    return None if i is None else Change(found[i].start, found[i + 1].end, random_.choice(("elif", "elseif")))


def _smart_quotes(subject: Subject, random_: random.Random) -> Change | None:
    i = _choose(
        subject, random_, lambda i, t: _quoted(i, t) and t.text[0] in "'\"" and t.text[:3] not in ("'''", '"""')
    )
    if i is None:
        return None
    token = subject.tokens[i]
    left, right = "“”" if token.text[0] == '"' else "‘’"
    return Change(token.start, token.end, left + token.text[1:-1] + right)


def _full_width(subject: Subject, random_: random.Random) -> Change | None:
    wide = dict(zip("(),:;=[]{}", "（），：；＝［］｛｝", strict=True))
    i = _choose(subject, random_, lambda i, t: t.text in wide)
    return None if i is None else Change(subject.tokens[i].start, subject.tokens[i].end, wide[subject.tokens[i].text])


def _conflict(subject: Subject, random_: random.Random) -> Change | None:
    i = _choose(subject, random_, lambda i, t: subject.first_on_line(i))
    if i is None:
        return None
    row = subject.lines.row(subject.tokens[i].start)
    last = min(row + random_.randrange(3), len(subject.lines.starts) - 1)
    start, end = subject.lines.span(row)[0], subject.lines.span(last)[1]
    ours = subject.text[start:end]
    theirs = ours.replace("self", "this").replace("1", "2").replace("a", "e", 1)
    return Change(start, end, f"<<<<<<< HEAD\n{ours}\n=======\n{theirs}\n>>>>>>> branch")


def _half_typed(subject: Subject, random_: random.Random) -> Change | None:
    i = _choose(subject, random_, lambda i, t: not subject.first_on_line(i) and not subject.last_on_line(i))
    if i is None:
        return None
    token = subject.tokens[i]
    return Change(token.start, max(subject.lines.span(subject.lines.row(token.start))[1], token.start), "")


def _missing_body(subject: Subject, random_: random.Random) -> Change | None:
    lines, found = subject.lines, subject.tokens
    i = _choose(subject, random_, lambda i, t: t.text == ":" and subject.last_on_line(i) and i + 1 < len(found))
    if i is None:
        return None
    row, last = lines.row(found[i].start), lines.row(found[i + 1].start)
    while (
        last + 1 < len(lines.starts) and lines.indent(last + 1) > lines.indent(row) and lines.content(last + 1).strip()
    ):
        last += 1
    if last - row > 3 or lines.indent(last) <= lines.indent(row):
        return None
    return Change(lines.span(row)[1], lines.span(last)[1], "")


def _unclosed_block_string(subject: Subject, random_: random.Random) -> Change | None:
    size = 3 if subject.language.triple else 1
    ends = ('"""', "'''") if size == 3 else ("`",)
    i = _choose(subject, random_, lambda i, t: t.kind == "string" and t.text.endswith(ends) and len(t.text) > 2 * size)
    return None if i is None else Change(subject.tokens[i].end - size, subject.tokens[i].end, "")


def _missing_operator(subject: Subject, random_: random.Random) -> Change | None:
    signs = ("+", "-", "*", "/", ".", "==", "===", "<", ">", "&&", "||", "and", "or", "in", "is", "+=", "%")
    i = _choose(subject, random_, lambda i, t: t.text in signs)
    return None if i is None else Change(subject.tokens[i].start, subject.tokens[i].end, "")


def _missing_tag(subject: Subject, random_: random.Random) -> Change | None:
    found = subject.tokens
    i = _choose(subject, random_, lambda i, t: t.text == "<" and i + 1 < len(found) and found[i + 1].text == "/")
    if i is None:
        return None
    end = subject.text.find(">", found[i].start) + 1
    start = found[i].start
    row = subject.lines.row(start)
    first, last = subject.lines.span(row)
    if subject.text[first:last].strip() == subject.text[start:end]:
        return Change(first, min(last + 1, len(subject.text)), "")
    return Change(start, end, "")


KINDS: dict[str, Kind] = {
    "missing header end": Kind(_missing_header_end),
    "missing closer": Kind(_drop(*")]")),
    "missing brace": Kind(_drop("}")),
    "missing opener": Kind(_drop(*OPENERS)),
    "extra closer": Kind(_extra_closer),
    "swapped closer": Kind(_swapped_closer),
    "missing closing quote": Kind(_missing_closing_quote),
    "missing opening quote": Kind(_missing_opening_quote),
    "missing comma": Kind(_drop(",")),
    "missing equals": Kind(_drop("=")),
    "doubled token": Kind(_doubled),
    "stray token": Kind(_stray),
    "misspelt keyword": Kind(_misspelt),
    "joined words": Kind(_joined),
    "else if": Kind(_elif),
    "assignment for comparison": Kind(_assignment, languages="python"),
    "smart quotes": Kind(_smart_quotes),
    "full-width mark": Kind(_full_width),
    "unclosed block string": Kind(_unclosed_block_string),
    "indentation": Kind(_indentation, languages="python"),
    "tab for spaces": Kind(_tabs, languages="python"),
    "foreign operator": Kind(
        _swap_text({"and": ("&&",), "or": ("||",), "not": ("!",), "!=": ("!==",), "==": ("===",)}),
        languages="python",
    ),
    "foreign word": Kind(
        _swap_text({"&&": ("and",), "||": ("or",), "=>": ("->",), "function": ("def", "fn"), "!==": ("is not",)}),
        languages="script",
    ),
    "missing arrow": Kind(_drop("=>"), languages="script"),
    "missing tag": Kind(_missing_tag, languages="script"),
    "merge conflict": Kind(_conflict, determined=False),
    "half-typed line": Kind(_half_typed, determined=False),
    "missing body": Kind(_missing_body, determined=False, languages="python"),
    "missing operator": Kind(_missing_operator, determined=False),
}
