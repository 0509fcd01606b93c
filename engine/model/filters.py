"""Which files are worth learning from: written by people, for this package, readable, and without secrets.

Each rule says no with a word, so that the corpus report can count what was dropped and why.
"""

from __future__ import annotations

import re

MIN_CHARACTERS = 400
MAX_CHARACTERS = 300_000
LONGEST_LINE = 400
MEAN_LINE = 100

# Folders that hold tests, other people's code, or published evaluation sets and their like.
TESTS = re.compile(
    r"(?:^|/)(?:tests?|testing|__tests__|specs?|e2e|idlelib/idle_test|lib2to3/tests|test_[^/]*|[^/]*_tests?|tests?_[^/]*|"
    r"fixtures?|testdata|benchmarks?|conftest)(?:/|\.[a-z]+$)|(?:\.|_|-)(?:test|tests|spec)\.[a-z]+$",
    re.I,
)
EVALUATION = re.compile(r"human[-_]?eval|\bmbpp\b|safim|quixbugs|\bbifi\b|codexglue|apps_metric|swe[-_]?bench", re.I)
VENDORED = re.compile(
    r"(?:^|/)(?:_?vendor(?:ed|s)?|_vendored_packages|third[-_]?party|externals?|extern|node_modules|bower_components|"
    r"contrib/[^/]*/vendor|site-packages|libs/vendor)(?:/|$)",
    re.I,
)
BUILT = re.compile(
    r"(?:^|/)(?:dist|build|umd|bundles?|min|static/(?:js|lib)|public|cjs|commonjs|_esm5?|esm5|fesm\d*|esm2015|"
    r"migrations|locales?|i18n|lang)(?:/)|\.min\.|\.bundle\.|[-.](?:umd|prod|production)\.|\.d\.[cm]?ts$|_pb2(?:_grpc)?\.py",
    re.I,
)
GENERATED = re.compile(
    r"@generated|auto[- ]?generated|generated (?:by|from|file|code|automatically)|do not (?:edit|modify)|"
    r"this file (?:is|was) (?:automatically )?(?:generated|created by)|machine generated|sourceMappingURL",
    re.I,
)
SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bxox[baprs]-[0-9A-Za-z-]{20,}|"
    r"\bAIza[0-9A-Za-z_-]{35}\b|\bsk-[A-Za-z0-9]{32,}\b|\beyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{20,}\.",
)
BLOB = re.compile(r"[A-Za-z0-9+/=_-]{160,}|(?:\\x[0-9a-fA-F]{2}){24,}|(?:0x[0-9a-fA-F]+,\s*){24,}")
# Plain substrings that a match cannot do without: patterns over whole files are slow, and most files hold none.
EVALUATION_HINTS = ("human", "mbpp", "safim", "quixbugs", "bifi", "codexglue", "apps_metric", "swe")
SECRET_HINTS = ("PRIVATE KEY", "AKIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "xox", "AIza", "sk-", "eyJ")
COMPILED = re.compile(r"__esModule|__awaiter\b|_interopRequire|@babel/runtime|\btslib\b|\bvar __\w+ = \(?this")
WORD = re.compile(r"[^\W\d_]")


def refuse_path(path: str) -> str | None:
    """Why a file is not wanted, by its path inside the package; None when it is."""
    if TESTS.search(path):
        return "test"
    if EVALUATION.search(path):
        return "evaluation set"
    if VENDORED.search(path):
        return "vendored"
    if BUILT.search(path):
        return "built"
    return None


def refuse_text(text: str) -> str | None:
    """Why a text is not wanted; None when it is."""
    if len(text) < MIN_CHARACTERS:
        return "too short"
    if len(text) > MAX_CHARACTERS:
        return "too long"
    if "\0" in text or "\r" in text.replace("\r\n", ""):
        return "not text"
    if GENERATED.search(text[:1500]):
        return "generated"
    if COMPILED.search(text[:3000]):
        return "compiled"
    lines = text.split("\n")
    if max(map(len, lines)) > LONGEST_LINE or len(text) > MEAN_LINE * len(lines):
        return "long lines"
    small = text.lower()
    if any(hint in small for hint in EVALUATION_HINTS) and EVALUATION.search(text):
        return "evaluation set"
    if any(hint in text for hint in SECRET_HINTS) and SECRETS.search(text):
        return "secret"
    if any(len(line) >= 96 and BLOB.search(line) for line in lines):
        return "data"
    sample = text[:: max(len(text) // 4000, 1)]
    if len(WORD.findall(sample)) < 0.35 * len(sample):
        return "data"
    return None
