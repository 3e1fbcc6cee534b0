import io
import json
import logging
import queue
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from agent import log
from agent.log import Level, get_logger
from tests.log_streams import SIZE_BYTES, Jammed, Terminal, events, logging_to

LEVELS: list[Level] = ["debug", "info", "warning", "error"]


@pytest.mark.parametrize("level", LEVELS)
def test_lines_below_the_level_are_not_written(level: Level) -> None:
    out = io.StringIO()
    with logging_to(out, level=level):
        for name in LEVELS:
            getattr(get_logger("agent.x"), name)(name)
    assert [event["event"] for event in events(out)] == LEVELS[LEVELS.index(level) :]


def test_other_libraries_are_logged_from_warning_on() -> None:
    out = io.StringIO()
    with logging_to(out, level="debug"):
        logging.getLogger("botocore.auth").info("authorization: %s", "secret")
        logging.getLogger("botocore.auth").warning("signed")
    assert [event["event"] for event in events(out)] == ["signed"]


def test_the_file_gets_json_unless_text_is_asked_for(tmp_path: Path) -> None:
    with logging_to(Terminal(), style="auto", file=tmp_path / "made" / "agent.log"):
        get_logger("agent").info("hello")
    assert json.loads((tmp_path / "made" / "agent.log").read_text())["event"] == "hello"


def test_the_file_rotates_before_it_exceeds_its_size_and_keeps_a_number_of_files(tmp_path: Path) -> None:
    with logging_to(io.StringIO(), file=tmp_path / "agent.log"):
        for number in range(5):
            get_logger("agent").info(str(number), filler="x" * (SIZE_BYTES * 2 // 3))
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["agent.log", "agent.log.1", "agent.log.2"]
    assert [json.loads(file.read_text())["event"] for file in files] == ["4", "3", "2"]
    assert all(file.stat().st_size <= SIZE_BYTES for file in files)


def test_a_file_that_cannot_be_opened_is_refused_and_the_log_goes_on(tmp_path: Path) -> None:
    out = io.StringIO()
    with logging_to(out):
        with pytest.raises(IsADirectoryError), logging_to(io.StringIO(), file=tmp_path):
            pass
        get_logger("agent").info("still here")
    assert [event["event"] for event in events(out)] == ["still here"]


def record(event: str) -> logging.LogRecord:
    return log._record("agent", logging.INFO, {"event": event})


def test_a_file_that_cannot_be_written_is_reported_once_until_it_can_again(tmp_path: Path) -> None:
    out, file = io.StringIO(), tmp_path / "agent.log"
    stderr = logging.StreamHandler(out)
    stderr.setFormatter(log._LineFormatter(text=False))
    handler = log._RotatingFile(str(file), SIZE_BYTES, 2, stderr=stderr)
    handler.setFormatter(log._LineFormatter(text=False))

    def break_it() -> None:
        handler.close()
        file.unlink()
        file.mkdir()

    break_it()
    handler.handle(record("lost"))
    handler.handle(record("lost too"))
    assert [(event["level"], event["file"]) for event in events(out)] == [("error", str(file))]
    assert events(out)[0]["exception"][0]["exc_type"] == "IsADirectoryError"
    file.rmdir()
    handler.handle(record("written"))
    assert json.loads(file.read_text())["event"] == "written"
    break_it()
    handler.handle(record("lost again"))
    assert len(events(out)) == 2


def test_lines_beyond_the_capacity_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "QUEUE_CAPACITY", 2)
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = log._LogQueueHandler(records)

    def queued() -> list[dict[str, Any]]:
        return [cast("dict[str, Any]", records.get_nowait().msg) for _ in range(records.qsize())]

    for name in ("one", "two", "three", "four"):
        handler.handle(record(name))
    assert [event["event"] for event in queued()] == ["one", "two"]
    handler.handle(record("five"))
    notice, five = queued()
    assert (notice["level"], notice["logger"], notice["count"]) == ("warning", "agent.log", 2)
    assert five["event"] == "five"
    handler.handle(record("six"))
    assert [event["event"] for event in queued()] == ["six"]


def test_an_output_that_blocks_does_not_block_the_caller(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(log, "CLOSE_TIMEOUT_S", 0.0)
    out = Jammed()
    with logging_to(out, file=tmp_path / "agent.log"):
        get_logger("agent").info("one")
        assert out.reached.wait(10)
        get_logger("agent").info("two")
    assert not out.getvalue()
    out.go.set()
    for thread in threading.enumerate():
        if thread.name == "log closer":
            thread.join()
    assert [event["event"] for event in events(out)] == ["one", "two"]


def test_configuring_again_loses_no_line_and_closes_the_previous_configuration() -> None:
    first, second = io.StringIO(), io.StringIO()
    logger = get_logger("agent")
    with logging_to(first):
        logger.info("one")
        with logging_to(second, style="text", level="debug"):
            assert [event["event"] for event in events(first)] == ["one"]
            logger.debug("two")
    logger.error("after the close")
    assert len(events(first)) == 1
    assert " two " in second.getvalue()
    assert len(second.getvalue().splitlines()) == 1
