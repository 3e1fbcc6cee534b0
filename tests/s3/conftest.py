"""One server of each make for a whole run, and the credentials for them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flow.conftest import _workers_are_reaped, brake
from tests.s3 import servers
from tests.s3.servers import Server, TestBucket

__all__ = ["_workers_are_reaped", "brake"]


@pytest.fixture(scope="session")
def moto() -> Iterator[Server]:
    with servers.moto() as server:
        yield server


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("rclone")
    with servers.rclone(folder) as server:
        yield server


@pytest.fixture(autouse=True)
def _credentials() -> Iterator[None]:
    with servers.credentials():
        yield


@pytest.fixture(params=["moto", "rclone"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def bucket(server: Server) -> TestBucket:
    return server.bucket()


@pytest.fixture
def moto_bucket(moto: Server) -> TestBucket:
    return moto.bucket()


@pytest.fixture
def rclone_bucket(rclone: Server) -> TestBucket:
    return rclone.bucket()
