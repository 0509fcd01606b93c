"""The settings as a JSON schema (`remask lsp --settings-schema`) and as docs/settings.md (`--settings-docs`)."""

from __future__ import annotations

import json
from typing import Any

from lsp_server.exclusions import LARGEST, SECRET_FILES
from lsp_server.settings import SECTION, Declared, declared

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def schema() -> dict[str, Any]:
    """A draft 2020-12 schema with flat names (`remask.completion.enable`), which VS Code's manifest takes as it is.

    `scope` is VS Code's: what names a program's files or devices is for the machine, not for a folder to say.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Remask",
        "type": "object",
        "properties": {f"{SECTION}.{d.name}": _property(d) for d in declared()},
    }


def _property(setting: Declared) -> dict[str, Any]:
    limits = setting.limits
    entry: dict[str, Any] = {
        "type": _TYPES[type(setting.default)],
        "default": setting.default,
        "markdownDescription": setting.about,
        "scope": "machine" if limits.get("machine") else "window",
    }
    if "choices" in limits:
        entry["enum"] = list(limits["choices"])
    if "minimum" in limits:
        entry |= {"minimum": limits["minimum"], "maximum": limits["maximum"]}
    if "values" in limits:
        key = "additionalProperties" if isinstance(setting.default, dict) else "items"
        entry[key] = {"type": _TYPES[limits["values"]]}
    return entry


def markdown() -> str:
    """docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "Made by `remask lsp --settings-docs` from `lsp_server/settings.py`; `remask lsp --settings-schema` prints the",
        "same as a JSON schema. Editors send them as `initializationOptions` or as the section `remask` of",
        "`workspace/configuration`; a setting that is wrong is reported in the editor and its default is kept.",
        "",
        "In Neovim: `vim.lsp.config('remask', { settings = { remask = { completion = { multiline = 'never' } } } })`.",
        'In VS Code: `"remask.completion.multiline": "never"`.',
    ]
    group = None
    for setting in declared():
        head, _, _ = setting.name.rpartition(".")
        if head != group:
            group = head
            lines += ["", f"## {head.capitalize() or 'General'}", ""]
        lines += [f"- **`{SECTION}.{setting.name}`** ({_facts(setting)}): {setting.about}"]
    lines += [
        "",
        "## What is never looked at",
        "",
        "Whatever `remask.exclude` says, `!` included, files of these names are neither read nor sent: "
        + ", ".join(f"`{pattern}`" for pattern in SECRET_FILES)
        + f". Documents of more than {LARGEST:,} characters are left alone. In a document that is excluded, ignored, "
        "too long, or of a language that is off there are no suggestions; the status (`remask/status`) says why, and a "
        "message when you ask by a key.",
    ]
    return "\n".join(lines) + "\n"


def _facts(setting: Declared) -> str:
    limits = setting.limits
    facts = f"{_TYPES[type(setting.default)]}, default `{json.dumps(setting.default)}`"
    if "choices" in limits:
        facts += ", one of " + ", ".join(f"`{choice}`" for choice in limits["choices"])
    if "minimum" in limits:
        facts += f", {limits['minimum']} to {limits['maximum']}"
    return facts
