"""What a terminal shows: nothing in it drives the terminal, everything in it fits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.live_state import LiveState, fitted, redraw
from agent.model.text import on_one_line, size_text

AT = "2026-01-01T12:03:11.000Z"
FREE = 3 * 1024**4
EVIL = "a\x1b[2J\n.mxf"
HARMLESS = "a\\x1b[2J\\n.mxf"


def file(file_id: str, status: str = "Copying", **changes: object) -> dict[str, Any]:
    return {
        "id": file_id,
        "route": "mxf",
        "path": f"{file_id}.mxf",
        "status": status,
        "file_size": 2000,
        "copy_progress": 50.0,
        "bytes_verified": 500,
        "error_message": None,
        "started_at": AT,
        "completed_at": AT,
        **changes,
    }


def route(name: str = "mxf", **changes: object) -> dict[str, Any]:
    return {
        "name": name,
        "paused": False,
        "outage": None,
        "source_error": None,
        "counts": {},
        "rate_bytes_s": 1536.0,
        "destination_free_bytes": FREE,
        **changes,
    }


def snapshot(
    *files: dict[str, Any], routes: tuple[dict[str, Any], ...] = (), **changes: object
) -> dict[str, Any]:
    return {
        "type": "snapshot",
        "seq": 7,
        "files": list(files),
        "routes": list(routes),
        "events": [],
        **changes,
    }


def update(seq: int, **changes: object) -> dict[str, Any]:
    return {"type": "update", "seq": seq, "changed": [], "removed": [], "routes": [], "events": [], **changes}


def picture_of(*messages: dict[str, Any]) -> LiveState:
    picture = LiveState()
    assert all(map(picture.apply, messages))
    return picture


def lines_of(*messages: dict[str, Any]) -> list[str]:
    return list(picture_of(*messages).frame(200, 50))


@given(st.text())
def test_text_on_one_line_is_printable_and_plain_text_stays(text: str) -> None:
    assert on_one_line(text).isprintable()
    assert on_one_line(on_one_line(text)) == on_one_line(text)
    assert not text.isprintable() or on_one_line(text) == text


@given(st.text(st.characters(categories=["L", "N", "Mn", "Lo"])), st.integers(0, 30))
def test_fitted_text_is_a_beginning_that_fits(text: str, columns: int) -> None:
    shown = fitted(text, columns)
    assert text.startswith(shown)
    assert fitted(shown, columns) == shown
    assert shown == text or fitted(text, columns + 2) != shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [("abcd", "abc"), ("漢字", "漢"), ("e\u0301e\u0301e\u0301e", "e\u0301e\u0301e\u0301"), ("abc", "abc")],
)
def test_cells_are_counted_not_characters(text: str, shown: str) -> None:
    assert fitted(text, 3) == shown


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536 * 1024, "1.5 MiB"),
        (5000 * 1024**5, "5000.0 PiB"),
    ],
)
def test_sizes_are_shown_in_binary_units(size: int, text: str) -> None:
    assert size_text(size) == text


def test_a_redraw_erases_what_stood_there() -> None:
    assert redraw(["one", "two"]) == "\x1b[Hone\x1b[K\ntwo\x1b[K\x1b[J"


def test_before_anything_is_known_it_says_so() -> None:
    assert LiveState().frame(80, 24) == ["transfer-agent: connecting"]
    assert LiveState().line() == "connecting"


def test_a_route_is_shown_with_its_rate_counts_and_space() -> None:
    counts = {"Copying": 1, "Verifying": 1, "InQueue": 3, "Held": 1, "Failed": 2, "Completed": 9}
    assert lines_of(snapshot(routes=(route(counts=counts), route("archive", paused=True)))) == [
        "transfer-agent: connected",
        "mxf      1.5 KiB/s, 2 moving, 4 waiting, 2 failed, 3.0 TiB free",
        "archive  paused, 1.5 KiB/s, 0 moving, 0 waiting, 0 failed, 3.0 TiB free",
    ]


def test_outages_and_source_errors_stand_out() -> None:
    outage = {"reason": "hung", "since": AT, "detail": f"no {EVIL}"}
    gone = route(outage=outage, source_error="No such folder", destination_free_bytes=None)
    assert lines_of(snapshot(routes=(gone,)))[1] == (
        f"mxf  OUTAGE hung since 12:03:11Z (no {HARMLESS}), SOURCE No such folder,"
        " 0 moving, 0 waiting, 0 failed"
    )


def test_moving_files_have_bars_and_the_oldest_is_first() -> None:
    young = file("young", started_at="2026-01-01T12:03:12.000Z", path=EVIL)
    assert lines_of(snapshot(young, file("old", "Verifying")))[1:] == [
        "",
        "Verifying [#####---------------]  25.0 %    2.0 KiB  old.mxf",
        f"Copying   [##########----------]  50.0 %    2.0 KiB  {HARMLESS}",
    ]


@pytest.mark.parametrize(
    ("status", "changes", "bar"),
    [
        ("Copying", {"copy_progress": 0.0}, "[--------------------]   0.0 %"),
        ("Copying", {"copy_progress": 100.0}, "[####################] 100.0 %"),
        ("Verifying", {"file_size": 0, "bytes_verified": 0}, "[--------------------]   0.0 %"),
        ("Verifying", {"bytes_verified": 3000}, "[####################] 100.0 %"),
    ],
)
def test_a_bar_never_leaves_its_frame(status: str, changes: dict[str, Any], bar: str) -> None:
    assert bar in lines_of(snapshot(file("a", status, **changes)))[-1]


def test_what_ended_is_shown_latest_first_with_the_reason_of_a_failure() -> None:
    failed = file("bad", "Failed", completed_at="2026-01-01T12:03:12.000Z", error_message=f"no {EVIL}")
    assert lines_of(snapshot(file("good", "Completed"), failed, file("later", "InQueue")))[1:] == [
        "",
        f"12:03:12Z  Failed       2.0 KiB  bad.mxf: no {HARMLESS}",
        "12:03:11Z  Completed    2.0 KiB  good.mxf",
    ]


def test_the_last_three_events_are_shown() -> None:
    events = [{"at": AT, "level": "error", "text": f"{EVIL} {number}"} for number in range(3)]
    late = {"at": AT, "level": "warning", "text": "late"}
    assert lines_of(snapshot(events=events), update(8, events=[late]))[1:] == [
        f"12:03:11Z  error: {HARMLESS} 1",
        f"12:03:11Z  error: {HARMLESS} 2",
        "12:03:11Z  warning: late",
    ]


def test_updates_change_add_and_remove() -> None:
    changed = update(8, changed=[file("a", copy_progress=75.0), file("c")], removed=["b", "unknown"])
    lines = lines_of(
        snapshot(file("a"), file("b"), routes=(route(),)), changed, update(9, routes=[route(paused=True)])
    )
    assert [line.rpartition(" ")[2] for line in lines[3:]] == ["a.mxf", "c.mxf"]
    assert "75.0 %" in lines[3]
    assert "paused" in lines[1]


def test_a_missed_update_changes_nothing_and_asks_for_a_snapshot() -> None:
    picture = picture_of(snapshot(file("a")))
    before = picture.frame(80, 24)
    assert not picture.apply(update(9, removed=["a"]))
    assert picture.frame(80, 24) == before
    assert picture.apply(snapshot(file("b"), seq=0))
    assert picture.apply(update(1))
    assert "b.mxf" in picture.frame(80, 24)[-1]


def test_a_problem_is_shown_over_the_last_state_until_a_message_comes() -> None:
    picture = picture_of(snapshot(file("a")))
    picture.problem = "no connection"
    assert picture.frame(80, 24)[0] == "transfer-agent: no connection"
    assert "a.mxf" in picture.frame(80, 24)[-1]
    assert picture.line() == "no connection"
    assert picture.apply(update(8))
    assert picture.frame(80, 24)[0] == "transfer-agent: connected"


def test_one_line_tells_every_route_and_its_moving_files() -> None:
    other = file("b", route="archive")
    routes = (route(counts={"Copying": 1}, destination_free_bytes=None), route("archive"))
    assert picture_of(snapshot(file("a"), other, routes=routes)).line() == (
        "mxf: 1.5 KiB/s, 1 moving, 0 waiting, 0 failed, a.mxf 50 %; "
        "archive: 1.5 KiB/s, 0 moving, 0 waiting, 0 failed, 3.0 TiB free, b.mxf 50 %"
    )


@given(st.integers(1, 60), st.integers(1, 12), st.lists(st.text(max_size=80), max_size=20))
def test_a_frame_never_leaves_the_screen(columns: int, rows: int, names: list[str]) -> None:
    files = [file(str(number), path=name) for number, name in enumerate(names)]
    frame = picture_of(snapshot(*files, routes=(route(),))).frame(columns, rows)
    assert len(frame) <= rows
    assert all(line.isprintable() and fitted(line, columns) == line for line in frame)


def test_what_does_not_fit_is_counted() -> None:
    files = [file(str(number)) for number in range(10)]
    assert picture_of(snapshot(*files)).frame(80, 5)[-1] == "... and 8 more lines"
