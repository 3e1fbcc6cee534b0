"""Whom a copy waits for."""

from threading import Event

from agent.model.errors import Side
from agent.worker.copy.io_side import IoSideTracker
from agent.worker.copy.threads import PipelineThread


def test_a_call_that_is_not_marked_as_one_to_the_source_is_one_to_the_destination() -> None:
    io_side = IoSideTracker()
    assert io_side.side() is Side.DESTINATION
    with io_side.at_source():
        assert io_side.side() is Side.SOURCE
    assert io_side.side() is Side.DESTINATION


def wait_for(event: Event) -> None:
    event.wait()


def test_while_there_is_work_for_the_destination_the_source_is_not_what_is_waited_for() -> None:
    io_side, done = IoSideTracker(), Event()
    stage: PipelineThread[Event] = PipelineThread(wait_for)
    io_side.set_stages(stage)
    with io_side.at_source():
        assert io_side.side() is Side.SOURCE
        stage.put(done)
        assert io_side.side() is Side.DESTINATION
        done.set()
        stage._items.join()
        assert io_side.side() is Side.SOURCE
        stage.finish()
        assert io_side.side() is Side.SOURCE
