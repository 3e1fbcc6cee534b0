"""Real S3 servers of different make on loopback, and what each of them cannot do."""

import os
import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from attrs import field, frozen
from botocore.config import Config
from moto.server import ThreadedMotoServer

from agent.model.storage import S3Access
from agent.worker.destinations.s3 import client
from agent.worker.destinations.s3.destination import S3Destination

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ACCESS_KEY = "AKIDTRANSFERAGENT"
SECRET_KEY = "secret/of/the+tests/alone"  # noqa: S105  no secret: our own servers on loopback
PART_BYTES = 5 * 2**20  # the smallest that is allowed
TIMEOUT_S = 20.0
EXIT_TIMEOUT_S = 20.0
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


@frozen
class Abilities:
    """What a server does; each `False` is a gap of that server, not of ours."""

    replaces_parts: bool = True
    refuses_taken_names: bool = True
    checks_content: bool = True
    checks_credentials: bool = True
    unnameable: frozenset[bytes] = frozenset()


@frozen
class Server:
    """One that listens on `url`; `certificate` is that of a server that speaks TLS, with its key."""

    name: str
    url: str
    can: Abilities
    certificate: Path | None = None
    _buckets: Iterator[int] = field(factory=lambda: iter(range(10**6)), eq=False)

    def access(self, timeout_s: float = TIMEOUT_S) -> S3Access:
        return S3Access(
            self.url, "us-east-1", path_style=True, part_size_bytes=PART_BYTES, timeout_s=timeout_s
        )

    def client(self) -> "S3Client":
        config = Config(
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return boto3.session.Session(ACCESS_KEY, SECRET_KEY).client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            verify=str(self.certificate) if self.certificate else None,
            config=config,
        )

    def bucket(self) -> "TestBucket":
        """A fresh one."""
        name = f"bucket-{os.getpid()}-{next(self._buckets)}"
        client = self.client()
        client.create_bucket(Bucket=name)
        return TestBucket(self, client, name)


@frozen(eq=False)
class TestBucket:
    """One bucket, as somebody beside the agent sees it."""

    __test__ = False
    server: Server
    client: "S3Client"
    name: str
    prefix: str = "media/in"

    @property
    def root(self) -> str:
        return f"s3://{self.name}/{self.prefix}"

    @contextmanager
    def opened(self, access: S3Access | None = None) -> Iterator[S3Destination]:
        with S3Destination.open(self.root, access or self.server.access(), lambda: None) as destination:
            yield destination

    def objects(self) -> dict[str, bytes]:
        """Every object below the prefix, with its content."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
        return {
            key.removeprefix(f"{self.prefix}/"): self.client.get_object(Bucket=self.name, Key=key)[
                "Body"
            ].read()
            for key in keys
        }

    def uploads(self) -> list[tuple[str, str]]:
        """Key and id of every open upload."""
        found = self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])
        return [(each["Key"], each["UploadId"]) for each in found]

    def put(self, name: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=f"{self.prefix}/{name}", Body=content)

    def begin(self, name: str) -> str:
        """Somebody else's upload."""
        answer = self.client.create_multipart_upload(Bucket=self.name, Key=f"{self.prefix}/{name}")
        return answer["UploadId"]


@contextmanager
def moto() -> Iterator[Server]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        # Its Python server splits the request line at a newline's escape in the path.
        can = Abilities(checks_content=False, checks_credentials=False, unnameable=frozenset({b"\n"}))
        yield Server("moto", f"http://127.0.0.1:{port}", can)
    finally:
        server.stop()


@contextmanager
def rclone(folder: Path) -> Iterator[Server]:
    (folder / "data").mkdir()
    port = free_port()
    command = [program("rclone"), "serve", "s3", "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]
    command += ["--addr", f"127.0.0.1:{port}", "--config", "", "--no-unicode-normalization", "data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        wait_for(port, process)
        # It hands parts on as they come, and overwrites whatever it is told to.
        can = Abilities(replaces_parts=False, refuses_taken_names=False)
        yield Server("rclone", f"http://127.0.0.1:{port}", can)
    finally:
        process.terminate()
        process.wait()


def program(name: str) -> str:
    """Of this environment, or of the system."""
    beside = Path(sysconfig.get_path("scripts"), name)
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is not installed"
    return found


@contextmanager
def credentials() -> Iterator[None]:
    """The servers' own, and no others that this machine may have."""
    before = {name: os.environ.get(name) for name in (*CREDENTIALS, "AWS_SESSION_TOKEN", "AWS_PROFILE")}
    for name in before:
        os.environ.pop(name, None)
    os.environ |= CREDENTIALS
    client.connect.cache_clear()
    try:
        yield
    finally:
        for name, text in before.items():
            os.environ.pop(name, None)
            if text is not None:
                os.environ[name] = text
        client.connect.cache_clear()


def self_made_certificate(folder: Path) -> Path:
    """For 127.0.0.1; in one file with its key."""
    path = folder / "certificate.pem"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tests"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path)]
    made = subprocess.run([program("openssl"), *words], capture_output=True, check=True)
    with path.open("ab") as file:
        file.write(made.stdout)
    return path


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_for(port: int, process: "subprocess.Popen[bytes]", timeout_s: float = EXIT_TIMEOUT_S) -> None:
    """Until the server listens."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        assert process.poll() is None, "the server has ended"
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError("the server does not answer")
