"""The promises over S3, kept by a real Ceph over TLS."""

from collections.abc import Iterator

import pytest

from agent.worker.destinations.s3.destination import S3Destination
from tests.s3.ceph import a_ceph
from tests.s3.servers import Server
from tests.s3.test_s3_contract import NOT_UTF8
from tests.s3.test_s3_faults import *  # noqa: F403  every one of these tests, over the server below
from tests.s3.test_s3_flow import *  # noqa: F403  likewise
from tests.s3.test_s3_growing import *  # noqa: F403  likewise
from tests.s3.test_s3_kills import *  # noqa: F403  likewise
from tests.worker.destinations.contract import DestinationContract


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_ceph(tmp_path_factory.mktemp("ceph")) as server:
        yield server


@pytest.fixture(autouse=True)
def _is_trusted(ceph: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(ceph.certificate))


@pytest.fixture
def server(ceph: Server) -> Server:
    return ceph


@pytest.fixture
def moto(ceph: Server) -> Server:
    return ceph


@pytest.fixture
def rclone(ceph: Server) -> Server:
    return ceph


class TestCeph(DestinationContract):
    can_shrink = False  # its 16.2 completes an upload with all parts that have arrived, or not at all
    refused = NOT_UTF8

    @pytest.fixture
    def destination(self, server: Server) -> Iterator[S3Destination]:
        with server.bucket().opened() as destination:
            yield destination
