"""The contract of every destination over S3 servers of different make."""

from collections.abc import Iterator

import pytest

from agent.worker.destinations.s3.destination import S3Destination
from tests.s3.servers import Server
from tests.worker.destinations.contract import NAMES, DestinationContract

NOT_UTF8 = frozenset(name for name in NAMES if b"\xff" in name)  # a key is UTF-8, by definition


class TestMoto(DestinationContract):
    refused = NOT_UTF8 | {name for name in NAMES if b"\n" in name}  # its HTTP server cannot parse the escape

    @pytest.fixture
    def destination(self, moto: Server) -> Iterator[S3Destination]:
        with moto.bucket().opened() as destination:
            yield destination


class TestRclone(DestinationContract):
    can_rewrite = False
    can_shrink = False
    refused = NOT_UTF8

    @pytest.fixture
    def destination(self, rclone: Server) -> Iterator[S3Destination]:
        with rclone.bucket().opened() as destination:
            yield destination
