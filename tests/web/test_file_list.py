"""Lists made of all files, and their order."""

import unicodedata
from typing import Literal

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from agent.control.errors import NotFound
from agent.model.transfer import Status
from agent.model.views import FileView
from tests.samples import shown_as
from tests.web.fake_control import A_FILE, COMPLETED, NEW_YEAR_AT
from web import query
from web.file_list import SORTED_AT_ONCE, FileQuery, find, status_body

Form = Literal["NFC", "NFD"]
FORMS: tuple[Form, Form] = ("NFC", "NFD")
MARKS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50)), unique=True, max_size=30)


def named(path: str, **more: object) -> FileView:
    return shown_as(A_FILE, id=path, path=path, **more)


def listed(choice: FileQuery, *files: FileView) -> list[str]:
    return [file["id"] for file in choice.body(files)["files"]]


@given(MARKS, st.integers(1, 10))
def test_pages_of_any_size_show_each_file_once_in_the_order_of_discovery(
    marks: list[tuple[int, int]], limit: int
) -> None:
    files = [evolve(A_FILE, id=f"f{number:02}", discovered_at=float(at)) for at, number in marks]
    ids, after = list[str](), None
    while True:
        body = FileQuery(after=after, limit=limit).body(files)
        ids += [file["id"] for file in body["files"]]
        assert len(body["files"]) <= limit
        if "next_cursor" not in body:
            break
        after = query.file_cursor({"cursor": body["next_cursor"]})
    assert ids == [f"f{number:02}" for _, number in sorted(marks)]


def test_a_list_of_any_length_is_in_order() -> None:
    count = 2 * SORTED_AT_ONCE + 1
    files = [evolve(A_FILE, id=str(number), discovered_at=float(-number)) for number in range(count)]
    assert listed(FileQuery(limit=count), *files) == [str(number) for number in reversed(range(count))]
    body = status_body([shown_as(file, status=Status.HELD, path=file.id, started_at=None) for file in files])
    assert body["pendingFiles"] == [str(number) for number in reversed(range(count))]


@pytest.mark.parametrize(
    ("search", "ids"),
    [
        ("", ["Day1/A.mxf", "day2/a.mov", "sound"]),
        ("DAY", ["Day1/A.mxf", "day2/a.mov"]),
        ("a.m", ["Day1/A.mxf", "day2/a.mov"]),
        ("Wav", ["sound"]),  # a route's name
        ("/src", []),
        ("nothing", []),
    ],
)
def test_a_search_finds_parts_of_paths_and_of_routes_in_any_case(search: str, ids: list[str]) -> None:
    files = (named("Day1/A.mxf"), named("day2/a.mov"), named("sound", route="wavs"))
    assert listed(FileQuery(limit=9, search=search), *files) == ids


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stored", FORMS)
def test_a_search_finds_a_name_in_whichever_unicode_form(form: Form, stored: Form) -> None:
    found = named(unicodedata.normalize(stored, "Crème.mxf"))
    assert listed(FileQuery(limit=9, search=unicodedata.normalize(form, "CRÈME")), found) == [found.id]


def test_a_search_finds_a_name_of_any_bytes_as_it_is_shown() -> None:
    assert listed(FileQuery(limit=9, search="caf\ufffd"), named("caf\udce9.mxf")) == ["caf\udce9.mxf"]


def test_a_search_is_paged_like_any_other_list() -> None:
    files = [named(f"take{number}.mxf") for number in range(5)] + [named("other")]
    body = FileQuery(search="take", limit=3).body(files)
    after = query.file_cursor({"cursor": body["next_cursor"]})
    assert listed(FileQuery(search="take", limit=3, after=after), *files) == [
        "take3.mxf",
        "take4.mxf",
    ]


def test_the_newest_of_several_files_of_a_name_is_found() -> None:
    old = evolve(A_FILE, id="f8", discovered_at=0.0)
    assert find("day1/a.mxf", [old, A_FILE, old]) is A_FILE
    with pytest.raises(NotFound, match="'none'"):
        find("none", [old])


def test_status_shows_the_single_file_in_progress_alone() -> None:
    assert status_body([A_FILE, COMPLETED]) == {
        "pendingFilesCount": 0,
        "pendingFiles": [],
        "inProgress": {
            "file": "day1/a.mxf",
            "progressPercentage": 66,
            "status": "Copying",
            "startTime": "2026-01-01T00:00:02.500Z",
        },
        "recentlyCompleted": [{"file": "done.mxf", "completedAt": "2026-01-01T00:00:09.000Z"}],
        "failedFiles": [],
    }


def test_status_of_an_idle_agent_has_nothing_in_progress() -> None:
    body = status_body([])
    assert body["inProgress"] is None
    assert "allInProgress" not in body


def test_status_shows_the_oldest_of_several_in_progress_and_all_of_them() -> None:
    verifying = shown_as(A_FILE, path="b.mxf", status=Status.VERIFYING, started_at=NEW_YEAR_AT)
    body = status_body([A_FILE, verifying])
    assert body["inProgress"] is not None
    assert body["inProgress"]["file"] == "b.mxf"
    assert [each["file"] for each in body["allInProgress"]] == ["b.mxf", "day1/a.mxf"]


def test_every_file_not_yet_copying_is_pending_in_the_order_of_discovery() -> None:
    waiting = [Status.HELD, Status.PAUSED, Status.IN_QUEUE, Status.READY, Status.GROWING, Status.DISCOVERED]
    files = [
        shown_as(A_FILE, path=status.value, status=status, started_at=None, discovered_at=-float(number))
        for number, status in enumerate(waiting)
    ]
    body = status_body(files)
    assert body["pendingFiles"] == ["Discovered", "Growing", "Ready", "InQueue", "Paused", "Held"]
    assert body["pendingFilesCount"] == 6


def test_ended_files_are_listed_newest_first() -> None:
    def ended(path: str, status: Status, at: float | None) -> FileView:
        return shown_as(A_FILE, path=path, status=status, completed_at=at, error="unreadable")

    body = status_body(
        [
            ended("old", Status.COMPLETED, NEW_YEAR_AT),
            ended("new", Status.COMPLETED, NEW_YEAR_AT + 1),
            ended("undated", Status.FAILED, None),
            ended("bad", Status.FAILED, NEW_YEAR_AT),
        ]
    )
    assert [each["file"] for each in body["recentlyCompleted"]] == ["new", "old"]
    assert body["failedFiles"] == [
        {"file": "bad", "error": "unreadable", "failedAt": "2026-01-01T00:00:00.000Z"},
        {"file": "undated", "error": "unreadable", "failedAt": None},
    ]
