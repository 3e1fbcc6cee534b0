"""Whom a copy waits for."""

from threading import Event

from agent.model.errors import Side
from agent.worker.copy.io_side import IoSideTracker
from agent.worker.copy.threads import PipelineThread


def test_what_is_not_said_to_be_at_the_source_is_at_the_destination() -> None:
    whereabouts = IoSideTracker()
    assert whereabouts.side() is Side.DESTINATION
    with whereabouts.at_source():
        assert whereabouts.side() is Side.SOURCE
    assert whereabouts.side() is Side.DESTINATION


def wait_for(event: Event) -> None:
    event.wait()


def test_while_there_is_work_for_the_destination_the_source_is_not_what_is_waited_for() -> None:
    whereabouts, done = IoSideTracker(), Event()
    stage: PipelineThread[Event] = PipelineThread(wait_for)
    whereabouts.set_stages(stage)
    with whereabouts.at_source():
        assert whereabouts.side() is Side.SOURCE
        stage.put(done)
        assert whereabouts.side() is Side.DESTINATION
        done.set()
        stage._items.join()
        assert whereabouts.side() is Side.SOURCE
    stage.finish()
