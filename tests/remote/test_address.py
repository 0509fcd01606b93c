"""Addresses and tokens: what is sent where, checked before anything is sent."""

from __future__ import annotations

import subprocess
import sys

import keyring
import keyring.backend
import pytest

from engine.remote import token
from engine.remote.address import Address, SetupError


class Drawer(keyring.backend.KeyringBackend):
    """A keyring in this process's memory."""

    priority = 1
    name = "a drawer"

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def drawer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("REMASK_TOKEN")
    before, mine = keyring.get_keyring(), Drawer()
    keyring.set_keyring(mine)
    yield mine
    keyring.set_keyring(before)


@pytest.mark.parametrize(
    ("text", "url", "host", "loopback"),
    [
        ("wss://engine.example.com", "wss://engine.example.com/v1/engine", "engine.example.com", False),
        (
            " wss://Engine.example.com:8443/ ",
            "wss://engine.example.com:8443/v1/engine",
            "engine.example.com:8443",
            False,
        ),
        ("wss://h/team/a/v1/engine", "wss://h/team/a/v1/engine", "h", False),
        ("ws://localhost:8000", "ws://localhost:8000/v1/engine", "localhost:8000", True),
        ("ws://127.9.9.9", "ws://127.9.9.9/v1/engine", "127.9.9.9", True),
        ("ws://[::1]:81", "ws://[::1]:81/v1/engine", "[::1]:81", True),
    ],
)
def test_an_address_is_completed(text, url, host, loopback):
    assert Address.parse(text) == Address(url, host, loopback)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("engine.example.com", "must begin with wss://"),
        ("https://engine.example.com", "must begin with wss://"),
        ("wss://", "names no host"),
        ("wss://h:port", "is no address"),
        ("wss://[::1", "is no address"),
        ("wss://ann:secret@h", "never into a setting"),
        ("wss://h/?token=secret", "never into a setting"),
        ("ws://engine.example.com", "unencrypted"),
        ("ws://10.0.0.7", "unencrypted"),
        ("ws://localhost.example.com", "unencrypted"),
    ],
)
def test_a_wrong_address_is_refused_in_words_that_help(text, said):
    with pytest.raises(SetupError, match=said) as refused:
        Address.parse(text)
    assert "secret" not in str(refused.value)


def test_plain_text_to_another_machine_has_to_be_allowed():
    assert Address.parse("ws://10.0.0.7:80", plaintext=True).url == "ws://10.0.0.7:80/v1/engine"


def test_a_token_of_the_keyring_goes_to_its_host_alone(drawer):
    ours, theirs = Address.parse("wss://ours.example.com"), Address.parse("wss://theirs.example.com")
    assert token.keep(ours, " abc123 \n") == "a drawer"
    found = token.needed(ours)
    assert found is not None
    assert (found.text, found.source) == ("abc123", "the system's keyring (a drawer)")
    assert "abc123" not in repr(found)
    with pytest.raises(SetupError, match="no token for theirs"):
        token.needed(theirs)
    assert token.needed(Address.parse("ws://localhost:1")) is None
    assert token.drop(ours)
    assert not token.drop(ours)


def test_the_environment_goes_before_the_keyring(drawer, monkeypatch):
    address = Address.parse("wss://ours.example.com")
    token.keep(address, "kept")
    monkeypatch.setenv("REMASK_TOKEN", "set")
    found = token.find(address)
    assert found is not None
    assert (found.text, found.source) == ("set", "the environment variable REMASK_TOKEN")


@pytest.mark.parametrize("text", ["two words", "a\nHost: evil", "tökén", "\x7f"])
def test_a_token_that_fits_into_no_header_is_refused_and_not_quoted(drawer, monkeypatch, text):
    monkeypatch.setenv("REMASK_TOKEN", text)
    with pytest.raises(SetupError) as refused:
        token.find(Address.parse("wss://h"))
    assert text not in str(refused.value)


def test_the_command_keeps_finds_and_clears_a_token_and_never_prints_it(drawer, monkeypatch, capsys):
    import io

    from engine.cli.main import main

    monkeypatch.setattr(sys, "stdin", io.StringIO("abc123\n"))
    assert main(["token", "set", "wss://ours.example.com"]) == 0
    assert drawer.kept == {("remask", "ours.example.com"): "abc123"}
    assert main(["token", "where", "wss://ours.example.com"]) == 0
    assert main(["token", "clear", "wss://ours.example.com"]) == 0
    assert main(["token", "where", "wss://ours.example.com"]) == 1
    said = capsys.readouterr().out
    assert "keyring (a drawer)" in said
    assert "abc123" not in said


def test_without_an_address_no_network_code_is_loaded():
    names = ("websockets", "keyring", "engine.remote", "ray")
    code = (
        "import sys, engine.service.client, lsp_server.server as s; server = s.build(); server.session.engine; "
        f"print([m for m in {names!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
