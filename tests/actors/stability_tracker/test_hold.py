"""Why a file is held, and that its reason claims nothing that was not seen."""

from itertools import product

import pytest
from attrs import evolve

from agent.actors.stability_tracker.hold import GRANT, UNSEEN_WRITERS, finish_rule, hold_reason
from agent.config.sections import Route
from agent.model.source_file import ContainerState, FinishEvidence, WriterState
from tests.samples import ROUTE

DELIVER = evolve(ROUTE, unseen_writers="deliver")
UNSEEN = (WriterState.NOT_PERMITTED, WriterState.NOT_SUPPORTED)


def evidence(writer: WriterState, container: ContainerState = ContainerState.CLOSED) -> FinishEvidence:
    return FinishEvidence(writer, container, "no footer" if container is ContainerState.OPEN else "")


@pytest.mark.parametrize("writer", UNSEEN)
def test_a_local_file_whose_writers_cannot_be_seen_is_held_unless_a_close_was(writer: WriterState) -> None:
    assert hold_reason(evidence(writer), ROUTE, was_closed=False) == UNSEEN_WRITERS[writer]
    assert hold_reason(evidence(writer), ROUTE, was_closed=True) == ""
    assert hold_reason(evidence(writer), DELIVER, was_closed=False) == ""


def test_the_reason_says_what_to_grant_where_that_would_help() -> None:
    assert GRANT in UNSEEN_WRITERS[WriterState.NOT_PERMITTED]
    assert "CAP_LEASE" not in UNSEEN_WRITERS[WriterState.NOT_SUPPORTED]


@pytest.mark.parametrize("writer", [WriterState.NONE, WriterState.UNKNOWN])
def test_nothing_is_held_where_no_writer_is_left_or_none_could_ever_be_seen(writer: WriterState) -> None:
    assert hold_reason(evidence(writer), ROUTE, was_closed=False) == ""


@pytest.mark.parametrize(
    ("writer", "was_closed", "reason"),
    [
        (WriterState.NONE, False, "unfinished recording, no writer left: no footer"),
        (WriterState.NONE, True, "unfinished recording, no writer left: no footer"),
        (WriterState.UNKNOWN, False, "unfinished recording: no footer"),
        (WriterState.UNKNOWN, True, "unfinished recording, a writer has closed it: no footer"),
        (WriterState.NOT_PERMITTED, True, "unfinished recording, a writer has closed it: no footer"),
    ],
)
def test_of_an_unfinished_recording_only_what_was_seen_is_said(
    writer: WriterState, was_closed: bool, reason: str
) -> None:
    assert hold_reason(evidence(writer, ContainerState.OPEN), ROUTE, was_closed=was_closed) == reason


def test_an_unfinished_recording_whose_writers_cannot_be_seen_says_both() -> None:
    unseen = evidence(WriterState.NOT_PERMITTED, ContainerState.OPEN)
    reason = hold_reason(unseen, ROUTE, was_closed=False)
    assert reason == f"unfinished recording: no footer; {UNSEEN_WRITERS[WriterState.NOT_PERMITTED]}"


EVIDENCE = [FinishEvidence(*states) for states in product(WriterState, ContainerState)]
ROUTES = [evolve(route, unfinished="deliver") for route in (ROUTE, DELIVER)] + [ROUTE, DELIVER]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("was_closed", [False, True])
def test_a_copy_lets_a_file_pass_exactly_if_an_examination_would(route: Route, *, was_closed: bool) -> None:
    rule = finish_rule(route, was_closed=was_closed, must_be_closed=False)
    for each in EVIDENCE:
        is_held = bool(hold_reason(each, route, was_closed=was_closed))
        assert rule.allows(each) is (each.writer is not WriterState.OPEN and not is_held), each


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("was_closed", [False, True])
def test_where_it_must_be_closed_a_closed_container_without_a_writer_alone_passes(
    route: Route, *, was_closed: bool
) -> None:
    rule = finish_rule(route, was_closed=was_closed, must_be_closed=True)
    assert list(filter(rule.allows, EVIDENCE)) == [FinishEvidence(WriterState.NONE, ContainerState.CLOSED)]
