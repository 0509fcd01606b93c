"""TLS: a certificate that nobody vouches for is refused before the token is sent; a team's own authority is trusted."""

from __future__ import annotations

import datetime
import ipaddress
import logging
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from engine.errors import EngineUnavailableError
from engine.remote import diagnosis
from engine.types import CompleteRequest
from tests.remote.ingress import TOKEN, Ingress
from tests.service.stand_in import StandIn


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "engine of a test")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "engine.pem"
    plain = serialization.NoEncryption()
    file.write_bytes(
        built.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return file


async def test_only_a_certificate_that_is_trusted_gets_the_token(
    serve, options, team, certificate, monkeypatch, caplog
):
    caplog.set_level(logging.DEBUG)
    await serve(StandIn())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    async with Ingress(options, tls) as ingress:
        client = team(ingress.url, fallback=False)
        with pytest.raises(EngineUnavailableError, match=r"is not trusted .*SSL_CERT_FILE"):
            await client.complete(CompleteRequest("x", "", "python", max_tokens=1))
        assert ingress.calls == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        await client.restart()
        assert (await client.complete(CompleteRequest("x", "", "python", max_tokens=1))).items
        assert ingress.calls == [f"Bearer {TOKEN}"]
    logged = "\n".join(r.getMessage() for r in caplog.records if r.name != "websockets.server")  # the test's own server
    assert TOKEN not in logged, "not even at the level of debugging"


async def test_the_doctor_says_what_it_found_and_not_the_token(serve, options):
    import asyncio

    await serve(StandIn())
    async with Ingress(options, version="9.9") as ingress:
        facts, problems = await asyncio.to_thread(diagnosis.examine, ingress.url, False)
        assert problems == []
        assert "Remask 9.9, stand-in@0 on cpu" in facts["team's engine"]
        assert facts["team's token"] == "from the environment variable REMASK_TOKEN"
        ingress.tokens.clear()
        facts, problems = await asyncio.to_thread(diagnosis.examine, ingress.url, False)
        assert "does not accept the token" in problems[0]
    facts, problems = await asyncio.to_thread(diagnosis.examine, ingress.url, False)
    assert "cannot be reached" in problems[0]
    assert TOKEN not in str(facts) + str(problems)
