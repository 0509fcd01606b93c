"""Languages: tree-sitter grammars, what counts as broken, where, and which small edits may mend it.

Knows nothing of models or editors.
"""

from grammars.errors import ErrorNode
from grammars.registry import Language, UnknownLanguageError, for_path, get, language_id, names
from grammars.source import Problem, Region, Source, TokenEdit
from grammars.validity import progress
from grammars.worse import is_worse, new_errors

__all__ = [
    "ErrorNode",
    "Language",
    "Problem",
    "Region",
    "Source",
    "TokenEdit",
    "UnknownLanguageError",
    "for_path",
    "get",
    "is_worse",
    "language_id",
    "names",
    "new_errors",
    "progress",
]
