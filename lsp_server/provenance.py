"""Whether the address of a team's engine comes from a workspace: whoever wrote that file would get the code.

A server is told settings and not whose they are. VS Code keeps this setting out of workspaces by its scope; of other
editors' files the usual ones are looked into, and an address that stands there too is not used.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

FILES = (
    ".vscode/settings.json",
    ".zed/settings.json",
    ".helix/languages.toml",
    ".helix/config.toml",
    ".vim/coc-settings.json",
    ".neoconf.json",
    ".nvim.lua",
    ".nvimrc",
    ".exrc",
    ".lazy.lua",
    ".dir-locals.el",
)
LARGEST = 1_000_000  # bytes of such a file
KEEPS_MACHINE_SETTINGS_APART = ("Visual Studio Code",)


def suspect(url: str, folders: list[str], client: str) -> str | None:
    """A sentence when one of the workspace's own files names the host of `url`; None when the address may be used."""
    if not url or client.startswith(KEEPS_MACHINE_SETTINGS_APART):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None  # no address at all: whoever calls it will say so
    name = parts.hostname or url
    # Many files speak of this machine; it takes the port as well to mean this engine.
    host = parts.netloc if name in ("localhost", "127.0.0.1", "::1") else name
    for folder in folders:
        for name in FILES:
            file = Path(folder) / name
            try:
                with file.open("rb") as f:
                    text = f.read(LARGEST).decode("utf-8", "replace")
            except OSError:
                continue
            if host.lower() in text.lower():
                return (
                    f"remask.engine.url is ignored: {file} names {host}, and a workspace must not say where your code "
                    "goes. Set it in your own settings and take it out of that file"
                )
    return None
