"""S3 over TLS: certificates are checked against those of the machine or of AWS_CA_BUNDLE."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.model.errors import OutageReason
from agent.model.transfer import Status
from tests.flow.running_agents import log_lines, running, write_files
from tests.s3.proxy import Effect, Line, proxied
from tests.s3.servers import PART_BYTES, Server, self_made_certificate
from tests.s3.test_s3_flow import configure, is_out

CONTENT = os.urandom(2 * PART_BYTES + 1)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return self_made_certificate(tmp_path)


@pytest.fixture
def tls_line(moto: Server, certificate: Path) -> Iterator[Line]:
    with proxied(moto, certificate) as (proxy, reached):
        yield Line(proxy, reached.bucket())


@pytest.mark.parametrize(
    ("operation", "effect"),
    [
        ("upload_part", "cut"),
        ("upload_part", "lose"),
        ("upload_part", "spoil"),
        ("complete_multipart_upload", "lose"),
        ("get_object", "cut"),
    ],
)
async def test_a_broken_connection_is_retried_without_an_outage(
    tmp_path: Path,
    tls_line: Line,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    operation: str,
    effect: Effect,
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    trouble = tls_line.proxy.add(operation, effect)
    configure(tmp_path, tls_line.bucket)
    write_files(tmp_path / "source", {"clip.mxf": CONTENT})
    async with running(tmp_path) as agent:
        file = await agent.until_file("clip.mxf", Status.COMPLETED)
    assert trouble.struck == 1
    assert file.current.attempts == 0
    assert log_lines(caplog, "outage") == []
    assert tls_line.bucket.objects() == {"clip.mxf": CONTENT}


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "its certificate is not trusted: self-signed certificate"),
        ({"AWS_CA_BUNDLE": "/nowhere"}, "the file of trusted certificates (AWS_CA_BUNDLE) does not exist"),
    ],
)
async def test_an_untrusted_certificate_is_an_outage_with_the_reason(
    tmp_path: Path,
    tls_line: Line,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    words: str,
) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    for name, text in environment.items():
        monkeypatch.setenv(name, text)
    configure(tmp_path, tls_line.bucket)
    async with running(tmp_path) as agent:
        view = await agent.until(is_out)
    outage = view.routes["mxf"].outage
    assert outage is not None
    assert outage.reason is OutageReason.UNREACHABLE
    assert outage.detail == f"s3: head_bucket: {words}"
