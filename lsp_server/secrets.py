"""What looks like a password or a key in code: the common formats, and random strings given to a telling name."""

from __future__ import annotations

import math
import re
from collections import Counter

FORMATS = re.compile(
    r"""
      -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b                         # AWS
    | \bgh[pousr]_[A-Za-z0-9]{30,}\b | \bgithub_pat_\w{40,}  # GitHub
    | \bglpat-[\w-]{20,}                                    # GitLab
    | \bxox[abprs]-[A-Za-z0-9-]{10,}                        # Slack
    | \bsk-(?:[a-z]+-)?[A-Za-z0-9_-]{20,}                   # OpenAI, Anthropic
    | \b[sr]k_live_[A-Za-z0-9]{16,}                         # Stripe
    | \bAIza[0-9A-Za-z_-]{35}                               # Google
    | \bhf_[A-Za-z0-9]{30,}                                 # Hugging Face
    | \bnpm_[A-Za-z0-9]{36} | \bpypi-AgEI[\w-]{20,}
    | \beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{5,}             # JSON web token
    | \b[a-z][a-z0-9+.-]*://[^\s/:@'"]+:[^\s/@'"]{3,}@       # a URL with a password
    """,
    re.VERBOSE,
)
NAMED = re.compile(
    r"""(?ix) \w* (?: password | passwd | secret | token | api_?key | access_?key | private_?key | auth ) \w*
    ["']? \s* (?: = | : | => ) \s* (?: [rbuf]? ) (["'`]) (?P<value> [^"'`\s]{8,} ) \1"""
)
ENTROPY = 3.2  # bits a character: above words and placeholders, below random strings of ten characters and more


def find(text: str) -> tuple[int, int] | None:
    """The first span of `text` that looks like a secret."""
    spans = [found.span() for found in FORMATS.finditer(text)]
    spans += [m.span() for m in NAMED.finditer(text) if _random(m["value"])]
    return min(spans) if spans else None


def appears(before: str, text: str) -> bool:
    """Whether `text` put behind `before` shows a secret that `before` does not already show whole."""
    line = before[before.rfind("\n") + 1 :][-200:]
    joined = line + text
    at = 0
    while (span := find(joined[at:])) is not None:
        if at + span[1] > len(line):
            return True
        at += span[1]
    return False


def _random(value: str) -> bool:
    """Whether a value is too irregular to be a word or a placeholder."""
    if re.fullmatch(r"[a-z_\-.]+|[A-Z_\-.]+|\W*\{.*\}\W*|<.*>|(.)\1+", value):
        return False
    counts = Counter(value)
    bits = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    return bits >= ENTROPY and any(c.isdigit() for c in value)
