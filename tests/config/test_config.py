import re
import socket
import tomllib
from pathlib import Path

import attrs
import pytest

from agent.config.dump import masked
from agent.config.sections import DestinationPlan, Route, WebSection
from agent.config.structure import KEYS
from agent.model.storage import BandwidthStep
from tests.config.configs import MOV, ROUTE, config_of, reasons_of, routes


def keys_in(text: str) -> dict[str, tuple[str, ...]]:
    document = tomllib.loads(text)
    return {name: tuple(document[name][0] if name == "route" else document[name]) for name in document}


def test_a_route_with_three_keys_is_enough_and_gets_the_contracts_defaults(tmp_path: Path) -> None:
    config = config_of(tmp_path, ROUTE)
    assert config.path == f"{tmp_path}/agent.toml"
    assert (config.agent.name, config.agent.state_dir) == (socket.gethostname(), f"{tmp_path}/var/state")
    assert config.web == WebSection("127.0.0.1", 8080, None)
    assert attrs.astuple(config.log) == ("info", "auto", None, 20 * 2**20, 10)
    assert attrs.astuple(config.uploads) == ((), 5)
    assert attrs.astuple(config.s3) == ("", "", False, 8 * 2**20)
    assert attrs.asdict(config.routes[0], recurse=False) == {
        "name": "mxf",
        "source": f"{tmp_path}/in",
        "destination": f"{tmp_path}/out",
        "include": (),
        "exclude": (),
        "after": "delete",
        "archive": None,
        "stable_s": 120.0,
        "stable_closed_s": None,
        "scan_s": 10.0,
        "growing": False,
        "growing_min_size_bytes": 100 * 2**20,
        "unfinished": "hold",
        "unseen_writers": "hold",
        "source_marker": None,
        "remove_empty_folders": False,
        "conflict": "rename",
        "verify": "read_back",
        "workers": 2,
        "max_attempts": 3,
        "retry_delay_s": 10.0,
        "probe_s": 5.0,
        "probe_timeout_s": 10.0,
        "stall_timeout_s": 30.0,
        "low_space_bytes": 10 * 2**30,
        "marker": None,
        "mounted": "auto",
        "bandwidth": (),
        "priority": 0,
    }
    assert list(tmp_path.iterdir()) == [tmp_path / "agent.toml"]  # and loading created nothing


EVERYTHING = """
[agent]
name = "ingest-1"
state_dir = "~/state"
[web]
bind = "[::]:0"
token_file = "secret"
[log]
level = "debug"
format = "json"
file = "logs/agent.log"
max_size = 4096
keep = 3
[[route]]
name = "mxf"
source = "/media/in"
destination = "s3://bucket/prefix"
include = ["*.mxf", "day?/**"]
exclude = ["*.tmp", "*.bak"]
after = "archive:done"
stable = 90
stable_closed = "1.5s"
scan = "250ms"
growing = true
growing_min_size = "1.5GB"
unfinished = "deliver"
unseen_writers = "deliver"
source_marker = ".card"
remove_empty_folders = true
conflict = "fail"
verify = "hash"
workers = 64
max_attempts = 1
retry_delay = 0
probe = "1m"
probe_timeout = "1h30m"
stall_timeout = 0.25
low_space = 0
marker = ".mounted"
mounted = "no"
bandwidth = "19:00,off 08:00,20MB"
priority = -5
[uploads]
roots = ["/media/in", "up"]
workers = 1
[s3]
endpoint_url = "http://127.0.0.1:9000"
region = "eu-central-1"
path_style = true
part_size = "5MiB"
"""


def test_every_key_of_the_contract_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/op")
    (tmp_path / "secret").write_text("s3cret\n")
    config = config_of(tmp_path, EVERYTHING)
    assert attrs.astuple(config.agent) == ("ingest-1", "/home/op/state")
    assert attrs.astuple(config.web) == ("::", 0, "s3cret")
    assert attrs.astuple(config.log) == ("debug", "json", f"{tmp_path}/logs/agent.log", 4096, 3)
    assert attrs.astuple(config.uploads) == (("/media/in", f"{tmp_path}/up"), 1)
    assert attrs.astuple(config.s3) == ("http://127.0.0.1:9000", "eu-central-1", True, 5 * 2**20)
    assert config.routes == (
        Route(
            name="mxf",
            source="/media/in",
            destination="s3://bucket/prefix",
            include=("*.mxf", "day?/**"),
            exclude=("*.tmp", "*.bak"),
            after="archive",
            archive=f"{tmp_path}/done",
            stable_s=90.0,
            stable_closed_s=1.5,
            scan_s=0.25,
            growing=True,
            growing_min_size_bytes=1_500_000_000,
            unfinished="deliver",
            unseen_writers="deliver",
            source_marker=".card",
            remove_empty_folders=True,
            conflict="fail",
            verify="hash",
            workers=64,
            max_attempts=1,
            retry_delay_s=0.0,
            probe_s=60.0,
            probe_timeout_s=5400.0,
            stall_timeout_s=0.25,
            low_space_bytes=0,
            marker=".mounted",
            mounted="no",
            bandwidth=(BandwidthStep(480, 20_000_000), BandwidthStep(1140, None)),
            priority=-5,
        ),
    )
    assert keys_in(EVERYTHING) == KEYS


def test_the_repositorys_file_shows_every_key_at_its_default(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "agent.toml").read_text()
    config = config_of(tmp_path, text)
    assert [(route.name, route.stable_s, route.scan_s) for route in config.routes] == [("mxf", 3.0, 2.0)]
    whole = re.sub(r"^#(?=[a-z_]+ = )", "", text, flags=re.MULTILINE)
    assert keys_in(whole) == KEYS
    named = attrs.evolve(config, agent=attrs.evolve(config.agent, name="ingest-1"))
    assert config_of(tmp_path, whole) == named


def test_the_output_of_check_config_loads_as_the_same_configuration(tmp_path: Path) -> None:
    config = config_of(tmp_path, EVERYTHING.replace('"[::]:0"', '"[::1]:0"').replace('"secret"', '""') + MOV)
    assert config_of(tmp_path, masked(config)) == config
    assert config_of(tmp_path, masked(config_of(tmp_path, ROUTE))) == config_of(tmp_path, ROUTE)


def test_the_output_of_check_config_shows_no_token(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret")
    shown = masked(config_of(tmp_path, ROUTE + '[web]\ntoken_file = "secret"'))
    assert 'token_file = "********"' in shown
    assert "s3cret" not in shown


def test_the_output_of_check_config_shows_what_is_excluded_on_every_route(tmp_path: Path) -> None:
    shown = masked(config_of(tmp_path, ROUTE))
    assert '".nfs*"' in shown.splitlines()[-1]


def test_a_path_with_a_newline_or_undecodable_bytes_is_printed_on_one_line(
    tmp_path: Path,
) -> None:
    environ = {"AGENT_ROUTE__SOURCE": "in\udcff", "AGENT_ROUTE__DESTINATION": 'o"\n'}
    shown = masked(config_of(tmp_path, "", environ))
    assert "in\\udcff" in shown
    assert 'o\\"\\n"' in shown
    shown.encode()


def test_routes_to_one_destination_share_a_plan_of_the_most_workers_and_the_closest_watch(
    tmp_path: Path,
) -> None:
    text = routes(("x", "/nas"), ("y", "s3://bucket"), ("z", "/nas/"))
    slow = 'workers = 1\nprobe = 9\nprobe_timeout = 1\nstall_timeout = 90\nlow_space = "1GB"\nmarker = ""\n'
    quick = (
        'workers = 8\nprobe = 1\nprobe_timeout = 9\nstall_timeout = 9\nlow_space = "2GB"\nmarker = ".up"\n'
    )
    first, second, third = text.split("[[route]]\n")[1:]
    config = config_of(tmp_path, f"[[route]]\n{first}{slow}[[route]]\n{second}[[route]]\n{third}{quick}")
    nas, bucket = config.destinations()
    assert nas == DestinationPlan("/nas", ("a", "c"), 8, 1.0, 1.0, 9.0, 2_000_000_000, ".up")
    assert (bucket.destination, bucket.routes, bucket.marker) == ("s3://bucket", ("b",), None)


def test_routes_to_one_destination_agree_on_whether_it_is_mounted(tmp_path: Path) -> None:
    first, second = routes(("x", "/nas"), ("y", "/nas")).split("[[route]]\n")[1:]
    silent = f"[[route]]\n{first}[[route]]\n{second}"
    [plan] = config_of(tmp_path, silent + 'mounted = "yes"').destinations()
    assert plan.mounted == "yes"
    text = f'[[route]]\n{first}mounted = "no"\n[[route]]\n{second}mounted = "yes"'
    assert reasons_of(tmp_path, text) == [
        'route "b": mounted: route "a" expects "no" at the same destination'
    ]


@pytest.mark.parametrize("destination", ["/", "s3://bucket/prefix"])
def test_where_nothing_can_be_mounted_a_mount_cannot_be_required(tmp_path: Path, destination: str) -> None:
    text = routes(("x", destination)) + 'mounted = "yes"\n'
    reason = f'route "a": mounted: "yes" is meaningless here: nothing can be mounted at "{destination}"'
    assert reason in reasons_of(tmp_path, text)


def test_one_destination_has_one_marker(tmp_path: Path) -> None:
    first, second = routes(("x", "/nas"), ("y", "/nas")).split("[[route]]\n")[1:]
    text = f'[[route]]\n{first}marker = ".one"\n[[route]]\n{second}marker = ".two"'
    assert reasons_of(tmp_path, text) == [
        'route "b": marker: route "a" expects ".one" at the same destination'
    ]
    assert reasons_of(tmp_path, text + "\nscan = 0") == [
        'route "b": scan: must be 1 millisecond at least, not 0'
    ]
