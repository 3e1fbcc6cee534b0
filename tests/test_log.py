import enum
import io
import json
import logging
from pathlib import Path

import pytest
import structlog
import trio

from agent.log import Style, get_logger
from tests.log_streams import Terminal, events, logging_to


def test_a_json_line_has_time_level_event_logger_and_the_bound_fields() -> None:
    out = io.StringIO()
    with logging_to(out):
        get_logger("agent.copier").bind(route="mxf").info("delivered", file="a.mxf", size_bytes=7)
    (event,) = events(out)
    assert event.pop("time").endswith("Z")
    assert list(event.items()) == [
        ("level", "info"),
        ("event", "delivered"),
        ("logger", "agent.copier"),
        ("route", "mxf"),
        ("file", "a.mxf"),
        ("size_bytes", 7),
    ]
    assert out.getvalue().startswith('{"time": ')


@pytest.mark.parametrize(
    ("style", "stream", "is_json"),
    [
        ("auto", io.StringIO(), True),
        ("auto", Terminal(), False),
        ("json", Terminal(), True),
        ("text", io.StringIO(), False),
    ],
)
def test_auto_is_text_on_a_terminal_only(style: Style, stream: io.StringIO, *, is_json: bool) -> None:
    with logging_to(stream, style=style):
        get_logger("agent").info("hello")
    assert stream.getvalue().startswith("{") is is_json


def test_a_text_line_has_time_level_event_fields_and_logger() -> None:
    out = io.StringIO()
    with logging_to(out, style="text"):
        get_logger("agent.x").warning(
            "name taken", route="mxf", file="a b.mxf", tries=2, empty="", parts=[1, "é"]
        )
    time, rest = out.getvalue().split(" ", 1)
    assert time.endswith("Z")
    assert rest == (
        'warning name taken route=mxf file="a b.mxf" tries=2 empty="" parts=[1, "é"] logger=agent.x\n'
    )


NAMES = ["a\nb", "a\r\x85b", "\x1b[31ma", "a\udcffb", "\u202egpj.a", 'a"b\\c', "a=b", "\0"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("style", ["text", "json"])
def test_no_file_name_breaks_a_line_or_its_encoding(style: Style, name: str, tmp_path: Path) -> None:
    out, file = io.StringIO(), tmp_path / "agent.log"
    with logging_to(out, style=style, file=file):
        get_logger("agent").info(name, file=name)
    (line,) = file.read_bytes().decode().split("\n")[:-1]
    assert out.getvalue() == f"{line}\n"
    if style == "json":
        assert json.loads(line)["file"] == name.replace("\udcff", "\ufffd")
    else:
        assert line.isprintable()


def test_values_that_are_not_json_are_logged_as_text() -> None:
    class Reason(enum.Enum):
        HUNG = "hung"

    out = io.StringIO()
    with logging_to(out):
        get_logger("agent").info("x", reason=Reason.HUNG, path=Path("/a"), table={(1, 2): 3, "b": 4})
    (event,) = events(out)
    assert (event["reason"], event["path"], event["table"]) == ("hung", "/a", {"b": 4})


def fail_with(secret: str) -> None:
    raise ExceptionGroup("many", [ValueError(len(secret)), KeyError("a\nb")])


def test_an_exception_is_a_field_with_its_frames_and_without_local_variables() -> None:
    out = io.StringIO()
    with logging_to(out):
        try:
            fail_with("hunter2")
        except ExceptionGroup:
            get_logger("agent").exception("a bug")
    (event,) = events(out)
    assert event["level"] == "error"
    (stack,) = event["exception"]
    assert (stack["exc_type"], stack["is_group"]) == ("ExceptionGroup", True)
    assert [inner[0]["exc_type"] for inner in stack["exceptions"]] == ["ValueError", "KeyError"]
    assert (
        stack["frames"][0]["name"]
        == "test_an_exception_is_a_field_with_its_frames_and_without_local_variables"
    )
    assert "hunter2" not in out.getvalue()


def test_an_exception_in_text_is_on_the_same_line_with_its_cause_and_its_group() -> None:
    def fail() -> None:
        try:
            fail_with("1234")
        except ExceptionGroup as error:
            raise OSError("gone") from error

    out = io.StringIO()
    with logging_to(out, style="text"):
        try:
            fail()
        except OSError as error:
            get_logger("agent").error("failed", exc_info=error)
        get_logger("agent").info("reported", exception="in words")
    first, second = out.getvalue().splitlines()
    assert 'exception="OSError: gone (test_log.py:' in first
    assert " fail) from ExceptionGroup: many (2 sub-exceptions) (test_log.py:" in first
    assert " fail_with) [ValueError: 4 (); KeyError: " in first
    assert 'exception="in words"' in second


def test_other_libraries_records_come_in_the_same_form_with_the_callers_context() -> None:
    out = io.StringIO()
    with logging_to(out), structlog.contextvars.bound_contextvars(route="mxf"):
        try:
            fail_with("")
        except ExceptionGroup:
            logging.getLogger("hypercorn.error").warning("%s of %d", "one", 2, exc_info=True)
    (event,) = events(out)
    assert (event["level"], event["event"], event["logger"]) == ("warning", "one of 2", "hypercorn.error")
    assert event["route"] == "mxf"
    assert event["exception"][0]["exc_type"] == "ExceptionGroup"


def test_another_handler_still_sees_the_record_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    with logging_to(io.StringIO()):
        logging.getLogger("sqlalchemy").warning("a %s", "b")
    assert [(record.msg, record.args) for record in caplog.records] == [("a %s", ("b",))]


async def test_context_follows_the_task() -> None:
    out = io.StringIO()

    async def work(name: str) -> None:
        with structlog.contextvars.bound_contextvars(transfer_id=name):
            await trio.lowlevel.checkpoint()
            get_logger("agent").info(name)

    with logging_to(out):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, "one")
            nursery.start_soon(work, "two")
    assert all(event["event"] == event["transfer_id"] for event in events(out))
    assert len(events(out)) == 2
