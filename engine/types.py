"""Plain data that crosses the engine's border: requests in, answers out. No tensors, no LSP types.

Offsets are characters (Python `str` indices) from the start of the file; times are milliseconds unless a name says
otherwise; a `deadline` is a `time.monotonic()` instant in seconds.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Completion:
    """One suggestion: exactly what goes between prefix and suffix.

    `confidence` is the geometric mean of the tokens' probabilities (0 to 1), or the chance that a line of the
    workspace's memory is right; `tokens` counts the tokens kept, the end included, and `steps` every forward pass after
    the prefill.
    """

    text: str
    confidence: float
    tokens: int
    steps: int


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace `text[start:end]`, which is `old`, by `new`."""

    start: int
    end: int
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Repair:
    """Edits in ascending order that do not overlap, and the text after all of them."""

    edits: list[Edit]
    text: str
    errors_before: int
    errors_after: int


@dataclass(frozen=True, slots=True)
class CompleteRequest:
    """What `Engine.run_complete` answers. `multiline=None` lets the syntax at the cursor decide.

    `brief` asks for no more than a line where that line holds without the block that it opens.

    `files` are the paths of the remembered files that may speak; None is all of them. It never travels: the engine
    process knows what each of its clients had remembered.
    """

    prefix: str
    suffix: str
    language: str
    path: str | None = None
    max_tokens: int = 64
    alternatives: int = 1
    seed: int = 0
    multiline: bool | None = None
    brief: bool = False
    deadline: float | None = None
    files: Set[str] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class RepairRequest:
    """What `Engine.run_repair` answers."""

    text: str
    language: str
    path: str | None = None
    seed: int = 0
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class RewriteRequest:
    """What `Engine.run_rewrite` answers: `degree` says how much of `text[start:end]` goes back to noise.

    "light", "half" or "full". `files` as for a completion.
    """

    text: str
    start: int
    end: int
    language: str
    degree: str = "half"
    path: str | None = None
    seed: int = 0
    deadline: float | None = None
    files: Set[str] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class CompleteAnswer:
    """Suggestions, best first, and what they cost.

    `timings_ms` has `window`, `prefill`, `denoise`, `verify` and `total`, and of that the `passes` of ONNX Runtime;
    `prompt_tokens` is the context's length and `cached_tokens` the part of it whose keys and values were already there.
    """

    items: list[Completion]
    steps: int
    tokens: int
    prompt_tokens: int = 0
    cached_tokens: int = 0
    timings_ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RepairAnswer:
    """A repair and what it cost.

    `timings_ms` has `regions`, `candidates`, `rank`, `denoise`, `verify` and `total`, and of that the `passes`.
    `alternatives` are other repairs of the same text, next best first; `denoised` tells whether the denoiser wrote any
    of the text.
    """

    repair: Repair
    steps: int = 0
    alternatives: tuple[Repair, ...] = ()
    denoised: bool = False
    timings_ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RewriteAnswer:
    """Another text for a selection, None when nothing else held up.

    `timings_ms` has `window`, `denoise`, `rank` and `total`, and of that the `passes`.
    """

    edit: Edit | None
    steps: int = 0
    timings_ms: dict[str, float] = field(default_factory=dict)
