import json
from datetime import datetime
from pathlib import PurePosixPath

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from agent.model.source_file import UnreadableFolder
from agent.model.text import as_unicode
from agent.model.transfer import Status
from agent.model.views import HeldFiles, HistoryPage, Snapshot
from tests.samples import a_state, shown_as
from tests.web.fake_control import (
    A_FILE,
    A_ROUTE,
    A_ROW,
    AN_EVENT,
    AN_OUTAGE,
    AN_UPDATE,
    COMPLETED,
    GIB,
    NEW_YEAR_AT,
)
from web import serializers


@given(st.binary(min_size=1).map(lambda name: name.decode("utf-8", "surrogateescape")))
def test_json_holds_any_file_name_and_is_always_utf_8(name: str) -> None:
    shown = as_unicode(name)
    assert json.loads(serializers.encode({name: name})) == {shown: shown}


def test_bytes_that_are_not_utf_8_show_as_replacement_characters() -> None:
    assert as_unicode(b"caf\xe9 \xc3\xa9".decode("utf-8", "surrogateescape")) == "caf\ufffd é"


def test_a_value_that_json_does_not_know_is_written_as_text() -> None:
    assert serializers.encode({"folder": PurePosixPath("/src")}) == b'{"folder":"/src"}'


@given(st.integers(0, 3 * serializers.ENTRIES_AT_ONCE + 1))
def test_a_list_of_any_length_is_written_whole_and_in_order(length: int) -> None:
    entries = [{"number": number, "name": "caf\udce9"} for number in range(length)]
    shown = [{"number": number, "name": "caf\ufffd"} for number in range(length)]
    assert json.loads(serializers.encode({"files": entries, "seq": 7})) == {"files": shown, "seq": 7}


def test_times_are_utc_with_milliseconds() -> None:
    assert serializers.rfc3339(NEW_YEAR_AT + 0.25) == "2026-01-01T00:00:00.250Z"


def test_no_time_stays_none() -> None:
    assert serializers.rfc3339(None) is None


@given(st.floats(allow_nan=False))
def test_any_file_time_can_be_shown(at: float) -> None:
    assert datetime.fromisoformat(serializers.rfc3339(at)).tzinfo is not None


def test_progress_is_the_copied_part_in_percent_with_one_digit() -> None:
    assert serializers.progress(A_FILE) == 66.7


def test_progress_of_an_empty_file_is_nothing_and_then_all() -> None:
    empty = shown_as(A_FILE, signature=a_state(0), copied_bytes=0)
    assert (serializers.progress(empty), serializers.progress(shown_as(empty, status=Status.COMPLETED))) == (
        0.0,
        100.0,
    )


def test_progress_never_exceeds_all() -> None:
    assert serializers.progress(shown_as(A_FILE, copied_bytes=301)) == 100.0


def test_a_file_entry_has_the_contracted_keys_and_no_others() -> None:
    assert serializers.file_entry(COMPLETED) == {
        "file_path": "/src/done.mxf",
        "status": "Completed",
        "file_size": 300,
        "last_write_time": "2026-01-01T00:00:00.000Z",
        "copy_progress": 100.0,
        "retry_count": 0,
        "error_message": None,
        "id": "f0",
        "route": "mxf",
        "destination_path": "/nas/done.mxf",
        "bytes_verified": 100,
        "verified_level": "read_back",
        "hash": "xxh128:" + "0" * 32,
        "kept_because": None,
        "discovered_at": "2026-01-01T00:00:01.000Z",
        "started_at": "2026-01-01T00:00:02.500Z",
        "completed_at": "2026-01-01T00:00:09.000Z",
    }


def test_the_live_feed_adds_the_relative_path_and_what_the_file_waits_for() -> None:
    held = shown_as(A_FILE, why="its container is open", until_at=NEW_YEAR_AT)
    assert serializers.live_file(held) == {
        **serializers.file_entry(held),
        "path": "day1/a.mxf",
        "bytes_copied": held.current.copied_bytes,
        "why": "its container is open",
        "until": "2026-01-01T00:00:00.000Z",
    }


def test_a_route_entry_lists_folders_that_cannot_be_read() -> None:
    closed = (UnreadableFolder("day", "Permission denied"),)
    entry = serializers.route_entry(evolve(A_ROUTE, unreadable_folders=closed))
    assert entry["unreadable_folders"] == [{"folder": "day", "reason": "Permission denied"}]


def test_a_route_entry_shows_why_files_are_held() -> None:
    entry = serializers.route_entry(evolve(A_ROUTE, held=(HeldFiles("grant CAP_LEASE", 2),)))
    assert entry["held"] == [{"why": "grant CAP_LEASE", "files": 2}]


def test_a_route_entry_shows_an_outage() -> None:
    entry = serializers.route_entry(evolve(A_ROUTE, outage=AN_OUTAGE))
    assert entry["outage"] == {
        "reason": "hung",
        "since": "2026-01-01T00:00:00.000Z",
        "detail": "no answer in 10 s",
    }
    assert serializers.route_entry(A_ROUTE)["outage"] is None


def test_storage_that_is_well_has_no_message() -> None:
    assert serializers.storage_body([A_ROUTE]) == {
        "sourceFreeGB": 512,
        "destinationFreeGB": 2047,
        "status": "OK",
        "routes": [
            {
                "name": "mxf",
                "status": "OK",
                "message": "",
                "sourceFreeGB": 512,
                "destinationFreeGB": 2047,
            }
        ],
    }


def test_the_worst_route_decides_for_the_storage() -> None:
    low = evolve(A_ROUTE, name="low", destination_free_bytes=GIB)
    gone = evolve(A_ROUTE, name="gone", outage=AN_OUTAGE, source_free_bytes=None)
    body = serializers.storage_body([A_ROUTE, low, gone])
    assert (body["status"], body["sourceFreeGB"], body["destinationFreeGB"]) == ("ERROR", -1, -1)
    assert body["message"] == "gone: hung: no answer in 10 s"
    assert [route["status"] for route in body["routes"]] == ["OK", "WARNING", "ERROR"]


def test_without_routes_the_storage_is_an_error() -> None:
    assert serializers.storage_body([]) == {
        "sourceFreeGB": -1,
        "destinationFreeGB": -1,
        "status": "ERROR",
        "message": "no route is running",
        "routes": [],
    }


def test_history_has_a_cursor_only_when_there_is_more() -> None:
    assert serializers.history_body(HistoryPage((A_ROW,), None)) == {
        "history": [serializers.history_entry(A_ROW)]
    }
    assert serializers.history_body(HistoryPage((A_ROW,), 7))["next_cursor"] == "7"


def test_the_first_message_holds_everything() -> None:
    assert serializers.snapshot_message(Snapshot(1, (A_FILE,), (A_ROUTE,), (AN_EVENT,))) == {
        "type": "snapshot",
        "seq": 1,
        "files": [serializers.live_file(A_FILE)],
        "routes": [serializers.route_entry(A_ROUTE)],
        "storage": serializers.storage_body([A_ROUTE]),
        "events": [{"at": "2026-01-01T00:00:00.000Z", "level": "error", "text": "an actor crashed"}],
    }


def test_an_update_holds_only_what_changed() -> None:
    assert serializers.update_message(AN_UPDATE) == {
        "type": "update",
        "seq": 2,
        "changed": [serializers.live_file(A_FILE)],
        "removed": ["f9"],
        "routes": [serializers.route_entry(A_ROUTE)],
        "events": [{"at": "2026-01-01T00:00:00.000Z", "level": "error", "text": "an actor crashed"}],
    }
