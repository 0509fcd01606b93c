"""The languages Remask knows: one entry each. Everything language-shaped lives here and in `queries/`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import PurePath
from typing import TYPE_CHECKING

import tree_sitter
import tree_sitter_javascript
import tree_sitter_python
import tree_sitter_typescript

if TYPE_CHECKING:
    from grammars.source import Source


class UnknownLanguageError(ValueError):
    """A language that has no registry entry; the message names it and lists those that have one."""


@dataclass(frozen=True, eq=False)
class Language:
    """A language's grammar and the few facts about its surface that repair needs.

    `headers` are words that begin a line whose end needs `header_end`; `clauses` is what a line in a header's column
    may begin with that goes on with its statement; `keywords` are what a misspelt word may have meant; `triple` tells
    whether quotes may be tripled.
    """

    name: str
    grammar: Callable[[], object]
    extensions: tuple[str, ...]
    language_ids: tuple[str, ...]
    line_comment: str
    keywords: tuple[str, ...]
    headers: tuple[str, ...]
    header_end: str
    statement_end: str
    indentation_matters: bool
    quotes: str
    block_comment: tuple[str, str] | None = None
    triple: bool = False
    clauses: tuple[str, ...] = ()
    queries_from: str | None = None

    @cached_property
    def compiled(self) -> tree_sitter.Language:
        """The compiled grammar."""
        return tree_sitter.Language(self.grammar())

    @property
    def parser(self) -> tree_sitter.Parser:
        """This thread's parser, which calls back into Python: there another thread may begin to parse."""
        kept: dict[str, tree_sitter.Parser] = _parsers.__dict__
        if self.name not in kept:
            kept[self.name] = tree_sitter.Parser(self.compiled)
        return kept[self.name]

    def query(self, name: str) -> tree_sitter.Query:
        """The compiled query `queries/<language>/<name>.scm`."""
        return _query(self, name)

    def parse(self, text: str) -> Source:
        """Parse a whole text."""
        from grammars.source import Source

        return Source.parse(self, text)


_parsers = threading.local()
_queries: dict[tuple[str, str], tree_sitter.Query] = {}


def _query(language: Language, name: str) -> tree_sitter.Query:
    key = (language.name, name)
    if key not in _queries:
        folder = language.queries_from or language.name
        path = resources.files("grammars") / "queries" / folder / f"{name}.scm"
        _queries[key] = tree_sitter.Query(language.compiled, path.read_text(encoding="utf-8"))
    return _queries[key]


PYTHON = Language(
    name="python",
    grammar=tree_sitter_python.language,
    extensions=(".py", ".pyi", ".pyw"),
    language_ids=("python",),
    line_comment="#",
    keywords=tuple(
        (
            "and as assert async await break class continue def del elif else except finally for from global if import "
            "in is lambda nonlocal not or pass raise return try while with yield None True False self"
        ).split()
    ),
    headers=tuple("def class if elif else for while with try except finally async match case".split()),
    header_end=":",
    clauses=("elif ", "else:", "except", "finally:"),
    statement_end="",
    indentation_matters=True,
    quotes="\"'",
    triple=True,
)

_SCRIPT_KEYWORDS = (
    "async await break case catch class const continue default delete do else export extends finally for from function "
    "if import in instanceof let new null of return static super switch this throw true false try typeof undefined var "
    "void while yield"
).split()
_TYPE_KEYWORDS = "interface type enum implements private public protected readonly string number boolean".split()
_SCRIPT_HEADERS = tuple("function class if else for while do try catch finally switch async export interface".split())


def _script(name: str, grammar: Callable[[], object], extensions: str, ids: str, typed: bool, queries: str) -> Language:
    return Language(
        name=name,
        grammar=grammar,
        extensions=tuple(extensions.split()),
        language_ids=tuple(ids.split()),
        line_comment="//",
        keywords=tuple(_SCRIPT_KEYWORDS + (_TYPE_KEYWORDS if typed else [])),
        headers=_SCRIPT_HEADERS,
        header_end="{",
        statement_end=";",
        indentation_matters=False,
        quotes="\"'`",
        block_comment=("/*", "*/"),
        queries_from=queries,
    )


LANGUAGES = (
    PYTHON,
    _script(
        "javascript",
        tree_sitter_javascript.language,
        ".js .jsx .mjs .cjs",
        "javascript javascriptreact",
        False,
        "javascript",
    ),
    _script(
        "typescript",
        tree_sitter_typescript.language_typescript,
        ".ts .mts .cts",
        "typescript",
        True,
        "javascript",
    ),
    _script("tsx", tree_sitter_typescript.language_tsx, ".tsx", "typescriptreact", True, "javascript"),
)

_by_name = {language.name: language for language in LANGUAGES}
_by_extension = {extension: language for language in LANGUAGES for extension in language.extensions}
_by_id = {identifier: language for language in LANGUAGES for identifier in language.language_ids}


def names() -> tuple[str, ...]:
    """Names of all languages."""
    return tuple(_by_name)


def get(name: str) -> Language:
    """The language of this name; `UnknownLanguageError` when there is none."""
    try:
        return _by_name[name]
    except (KeyError, TypeError):
        raise UnknownLanguageError(f"unknown language {name!r}: Remask knows {', '.join(_by_name)}") from None


def for_path(path: str | PurePath) -> Language | None:
    """The language that a file's extension stands for."""
    return _by_extension.get(PurePath(path).suffix.lower())


def language_id(identifier: str) -> Language | None:
    """The language of an LSP language identifier."""
    return _by_id.get(identifier)
