"""One server of each make for a whole run, and the credentials for them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import EVERY
from tests.flow.conftest import _info_is_logged, _workers_are_forked, _workers_are_reaped, copy_hold
from tests.s3 import servers
from tests.s3.proxy import Line, Proxy, proxied
from tests.s3.servers import Server, TestBucket
from tests.system.agents import Agent

SERVERS = ("moto", "rclone")
__all__ = ["_info_is_logged", "_workers_are_forked", "_workers_are_reaped", "copy_hold"]

collect_ignore = ["test_ceph.py"]  # unless it is named, as `make test-ceph` does


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "by_turns(names, rows, name, kinds): each row with one of the kinds")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each row with every kind with `--every`; else the kinds by turns."""
    marker = metafunc.definition.get_closest_marker("by_turns")
    if marker is not None:
        names, rows, name, kinds = marker.args
        all_of_them = [(*row, kind) for row in rows for kind in kinds]
        by_turns = [(*row, kinds[number % len(kinds)]) for number, row in enumerate(rows)]
        is_every = metafunc.config.getoption(EVERY)
        metafunc.parametrize((*names, name), all_of_them if is_every else by_turns)


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


@pytest.fixture(params=SERVERS)
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


@pytest.fixture
def line(server: Server) -> Iterator[Line]:
    with proxied(server) as (proxy, reached):
        yield Line(proxy, reached.bucket())


@pytest.fixture
def moto_line(moto: Server) -> Iterator[Line]:
    with proxied(moto) as (proxy, reached):
        yield Line(proxy, reached.bucket())


@pytest.fixture
def way(moto_line: Line) -> tuple[Proxy, TestBucket]:
    return moto_line.proxy, moto_line.bucket


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    made = Agent(tmp_path)
    made.source.mkdir()
    yield made
    made.clean_up()
