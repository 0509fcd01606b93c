"""Languages: tree-sitter grammars, what counts as broken, where, and which small edits may mend it.

Knows nothing of models or editors.
"""

from grammars.closing import closings, opens_at_end
from grammars.edits import TokenEdit, propose, swallowed
from grammars.errors import ErrorNode
from grammars.faults import Fault, Reading, narrowed, site_of, unread
from grammars.registry import Language, UnknownLanguageError, for_path, get, language_id, names
from grammars.sites import Site
from grammars.source import Problem, Source
from grammars.validity import accepts
from grammars.worse import Insertions, gained, is_worse, new_errors

__all__ = [
    "ErrorNode",
    "Fault",
    "Insertions",
    "Language",
    "Problem",
    "Reading",
    "Site",
    "Source",
    "TokenEdit",
    "UnknownLanguageError",
    "accepts",
    "closings",
    "for_path",
    "gained",
    "get",
    "is_worse",
    "language_id",
    "names",
    "narrowed",
    "new_errors",
    "opens_at_end",
    "propose",
    "site_of",
    "swallowed",
    "unread",
]
