"""Settings, declared in one place: the JSON schema, docs/settings.md and VS Code's settings page follow from it.

Clients send them as `initializationOptions` and as the section `remask` of `workspace/configuration`, nested
(`{"completion": {"enable": true}}`) or flat (`{"completion.enable": true}`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import grammars

SECTION = "remask"


def _setting(default: Any, about: str, **limits: Any) -> Any:
    """A field: `choices`, `minimum`, `maximum`, `values` (type of items), `machine` (not per folder), `absolute`."""
    return field(default=default, metadata={"about": about, **limits})


@dataclass(frozen=True, slots=True)
class CompletionSettings:
    """What is suggested at the cursor, and when."""

    enable: bool = _setting(True, "Suggest code at the cursor.")
    multiline: str = _setting(
        "auto",
        "Several lines at once: where the syntax invites them (`auto`: behind a colon or an opening brace, in an empty "
        "body, and with a line that opens a block), `never`, or `always`.",
        choices=("auto", "never", "always"),
    )
    max_tokens: int = _setting(64, "The longest suggestion, in tokens.", minimum=1, maximum=256)
    alternatives: int = _setting(
        3, "How many different suggestions to compute when you ask for them by a key.", minimum=1, maximum=8
    )
    automatic_alternatives: int = _setting(
        1, "How many different suggestions to compute while you type. Each costs time.", minimum=1, maximum=8
    )
    in_comments: bool = _setting(False, "Suggest while you type in a comment. Asking by a key always works.")
    in_strings: bool = _setting(True, "Suggest while you type in a string. Asking by a key always works.")
    after_deletion: bool = _setting(
        False, "Suggest right after a deletion or an undo. When off, suggestions come back with the next key typed."
    )
    timeout_ms: int = _setting(
        1500, "A suggestion that was not asked for by a key is given up after this time.", minimum=50, maximum=60_000
    )
    invoked_timeout_ms: int = _setting(
        5000,
        "A suggestion that you asked for by a key, and its alternatives, may take this long once the model is loaded.",
        minimum=50,
        maximum=60_000,
    )
    min_confidence: float = _setting(
        0.0, "Hide suggestions whose confidence (0 to 1) is lower than this.", minimum=0.0, maximum=1.0
    )
    popup: str = _setting(
        "auto",
        "Offer the suggestion in the ordinary completion list: `auto` when the editor has no inline suggestions, "
        "`always`, or `never`. Read when the server starts.",
        choices=("auto", "always", "never"),
    )


@dataclass(frozen=True, slots=True)
class DiagnosticsSettings:
    """What is said of code that does not parse."""

    enable: bool = _setting(True, "Mark code that does not parse.")
    severity: str = _setting("error", "How to mark it.", choices=("error", "warning", "information", "hint"))
    rest_ms: int = _setting(
        1000,
        "The statement that you are typing is marked once it has rested this long, or when you leave it.",
        minimum=0,
        maximum=60_000,
    )


@dataclass(frozen=True, slots=True)
class FixesSettings:
    """Repairs, computed ahead and verified by the parser."""

    enable: bool = _setting(True, "Compute a fix for code that does not parse, and offer it as a quick fix.")
    timeout_ms: int = _setting(5000, "The longest that a repair may take.", minimum=100, maximum=120_000)


@dataclass(frozen=True, slots=True)
class RewriteSettings:
    """Rewriting a selection."""

    enable: bool = _setting(True, "Offer to rewrite the selection: lightly, half of it, or all of it.")
    max_lines: int = _setting(30, "The longest selection that is offered a rewrite, in lines.", minimum=1, maximum=200)


@dataclass(frozen=True, slots=True)
class MemorySettings:
    """What the engine remembers of the workspace."""

    enable: bool = _setting(True, "Let what is written elsewhere in the workspace inform suggestions.")
    workspace: bool = _setting(True, "Read the workspace's files, not only those that are open.")
    max_files: int = _setting(2000, "The most files that are read.", minimum=0, maximum=100_000)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The engine process, which all editors share. Read when the engine starts."""

    device: str = _setting("auto", "Where the model runs.", choices=("auto", "cpu", "cuda"), machine=True)
    model: str = _setting("", "A model folder instead of the packaged one.", machine=True)
    idle_minutes: float = _setting(
        15.0,
        "An engine that nobody uses leaves after this time. Read when an engine starts: one that runs keeps "
        "its time until it is started anew (`remask.restartEngine`).",
        minimum=0.1,
        maximum=10_080.0,
        machine=True,
    )
    url: str = _setting(
        "",
        "A team's engine, `wss://HOST:PORT`, in place of this machine's. The text of the file that you are in is then "
        "sent to that host with each request; when empty, no code leaves this machine. For your own settings alone: an "
        "address in a workspace's file is ignored. Its token comes from the keyring (`remask token set URL`) or from "
        "the environment variable `REMASK_TOKEN`, never from a setting. Needs the extra `team`: "
        "`pip install '.[team]'` in a checkout.",
        machine=True,
    )
    fallback: str = _setting(
        "local",
        "While the team's engine cannot be reached, this machine's answers (`local`), or none (`off`).",
        choices=("local", "off"),
        machine=True,
    )
    allow_plaintext: bool = _setting(
        False,
        "Allow `ws://` to another machine, which sends code and token unencrypted: for a network that you trust.",
        machine=True,
    )


@dataclass(frozen=True, slots=True)
class LogSettings:
    """The server's log."""

    level: str = _setting("info", "What is logged.", choices=("debug", "info", "warning", "error"), machine=True)
    file: str = _setting(
        "",
        "A file to write the log to as well: an absolute path, or one that begins with `~/`.",
        machine=True,
        absolute=True,
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, resolved."""

    enable: bool = _setting(True, "Everything on or off.")
    languages: dict[str, bool] = field(
        default_factory=dict,
        metadata={
            "about": 'Languages to turn off or on: `{"javascript": false}`. Those not named are on. Names that editors '
            "use, like `typescriptreact`, are understood, too.",
            "values": bool,
        },
    )
    exclude: list[str] = field(
        default_factory=list,
        metadata={
            "about": "Files that are never read, as patterns in the manner of `.gitignore`. Keys, certificates and "
            "`.env` files are always excluded, and no `!` brings them back.",
            "values": str,
        },
    )
    respect_gitignore: bool = _setting(True, "Never read files that `.gitignore` names.")
    withhold_secrets: bool = _setting(True, "Withhold suggestions that contain what looks like a password or a key.")
    count: bool = _setting(
        True, "Count suggestions shown, accepted and rejected in a local file, for `remask stats`. Nothing is sent."
    )
    completion: CompletionSettings = field(default_factory=CompletionSettings)
    diagnostics: DiagnosticsSettings = field(default_factory=DiagnosticsSettings)
    fixes: FixesSettings = field(default_factory=FixesSettings)
    rewrite: RewriteSettings = field(default_factory=RewriteSettings)
    memory: MemorySettings = field(default_factory=MemorySettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    log: LogSettings = field(default_factory=LogSettings)

    def allows(self, language: str) -> bool:
        """Whether Remask is on for a language."""
        return self.enable and self.languages.get(language, True)


@dataclass(frozen=True, slots=True)
class Declared:
    """A setting as the schema and the docs show it; `name` has dots: `completion.maxTokens`."""

    name: str
    default: Any
    about: str
    limits: dict[str, Any]


def camel(name: str) -> str:
    """`max_tokens` as `maxTokens`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def declared(kind: Any = Settings, prefix: str = "") -> Iterator[Declared]:
    """Every setting, in the order of its declaration."""
    blank = kind()
    for f in fields(kind):
        default = getattr(blank, f.name)
        name = prefix + camel(f.name)
        if is_dataclass(default):
            yield from declared(type(default), name + ".")
        else:
            limits = {k: v for k, v in f.metadata.items() if k != "about"}
            yield Declared(name, default, f.metadata["about"], limits)


def resolve(*sources: object) -> tuple[Settings, list[str]]:
    """Settings from what clients sent, later sources over earlier ones, and a sentence for each thing that is wrong.

    What is wrong is left out and its default kept: a typing mistake never stops the server.
    """
    known = {d.name: d for d in declared()}
    problems: list[str] = []
    values: dict[str, Any] = {}
    for source in sources:
        if source is None:
            continue
        if not isinstance(source, dict):
            problems.append(f"settings must be an object, not {_kind(source)}")
            continue
        inner = source.get(SECTION)
        for name, value in _flat(inner if isinstance(inner, dict) else source, known):
            if name not in known:
                problems.append(_unknown(name, known))
            elif value is not None:
                wrong = _wrong(known[name], value)
                if wrong:
                    problems.append(wrong)
                else:
                    values[name] = value
    languages: dict[str, bool] = {}
    for language, on in values.get("languages", {}).items():
        if language in grammars.names():
            languages[language] = on
        elif known_as := grammars.language_id(language):
            languages.setdefault(known_as.name, on)  # the language's own name goes first
        else:
            problems.append(f"{SECTION}.languages: {language!r} is not one of {', '.join(grammars.names())}")
    if "languages" in values:
        values["languages"] = languages
    return _build(Settings, "", values), problems


def _flat(value: dict[Any, Any], known: dict[str, Declared], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        name = prefix + str(key).removeprefix(SECTION + ".")
        if isinstance(item, dict) and name not in known:
            yield from _flat(item, known, name + ".")
        else:
            yield name, item


def _unknown(name: str, known: dict[str, Declared]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"{SECTION}.{name} is not a setting" + (f": did you mean {SECTION}.{near[0]}?" if near else "")


def _wrong(setting: Declared, value: Any) -> str | None:
    name, default, limits = f"{SECTION}.{setting.name}", setting.default, setting.limits
    wanted = type(default)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        return f"{name} must be {_NAMES[wanted]}, not {_kind(value)}"
    if "choices" in limits and value not in limits["choices"]:
        return f"{name} must be one of {', '.join(limits['choices'])}, not {value!r}"
    if "minimum" in limits and not limits["minimum"] <= value <= limits["maximum"]:
        return f"{name} must lie between {limits['minimum']} and {limits['maximum']}, not {value}"
    if limits.get("absolute") and value and not (Path(value).is_absolute() or value.startswith(("~/", "~\\"))):
        return f"{name} must be an absolute path or begin with ~/, not {value!r}"
    if "values" in limits:
        items = value.values() if isinstance(value, dict) else value
        if not all(isinstance(item, limits["values"]) for item in items):
            return f"{name} must hold only {_NAMES[limits['values']].removeprefix('a ')} values"
    return None


_NAMES: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


def _kind(value: object) -> str:
    return "null" if value is None else _NAMES.get(type(value), type(value).__name__)


def _build(kind: Any, prefix: str, values: dict[str, Any]) -> Any:
    built = kind()
    changes = {}
    for f in fields(kind):
        name = prefix + camel(f.name)
        current = getattr(built, f.name)
        if is_dataclass(current):
            changes[f.name] = _build(type(current), name + ".", values)
        elif name in values:
            changes[f.name] = values[name]
    return replace(built, **changes)
