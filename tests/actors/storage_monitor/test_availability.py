import pytest
from attrs import evolve

from agent.actors.storage_monitor.availability import (
    FLAPPING_WINDOW_S,
    MAX_GOOD_PROBES,
    MAX_PROBE_S,
    AvailabilityTracker,
)
from agent.config.sections import MountRule
from agent.messages.dispatcher import DestinationState
from agent.model.errors import Fault, OutageReason
from agent.protocol.replies import Probed
from tests.samples import NAS


def probed(mount_point: str) -> Probed:
    return Probed(device=7, mount_point=mount_point, free_bytes=5, total_bytes=10)


def test_the_first_answer_is_accepted_and_remembered() -> None:
    availability = AvailabilityTracker(NAS, has_marker=False, probe_s=5.0)
    assert (availability.is_usable, availability.mount_point) == (False, None)
    state = availability.answered(probed("/"), began_s=1.0, at=1001.0)
    assert state == DestinationState(NAS, None, "", 1001.0, 1.0, 5, 10, 7)
    assert (availability.is_usable, availability.mount_point) == (True, "/")


@pytest.mark.parametrize("above", ["/", "/mnt", "/mnt/"])
def test_a_folder_that_lies_on_the_mount_above_is_unmounted(above: str) -> None:
    availability = AvailabilityTracker("/mnt/nas/in", has_marker=False, probe_s=5.0, mount_point="/mnt/nas")
    state = availability.answered(probed(above), began_s=1.0, at=1001.0)
    assert state.reason is OutageReason.UNMOUNTED
    assert state.detail.startswith(f"/mnt/nas is not mounted, the folder now lies on {above}: ")
    assert (state.free_bytes, state.total_bytes, state.device) == (None, None, None)
    assert (availability.is_usable, availability.mount_point) == (False, "/mnt/nas")
    assert availability.answered(probed("/mnt/nas"), began_s=2.0, at=1002.0).reason is None


@pytest.mark.parametrize("mount_point", ["/mnt/nas", "/mnt/nas/in", "/mnt/na", "/elsewhere"])
def test_a_mount_that_does_not_lie_above_is_accepted(mount_point: str) -> None:
    availability = AvailabilityTracker("/mnt/nas/in", has_marker=False, probe_s=5.0, mount_point="/mnt/nas")
    assert availability.answered(probed(mount_point), began_s=1.0, at=1001.0).reason is None
    assert availability.mount_point == mount_point


def test_a_marker_overrules_the_mount() -> None:
    availability = AvailabilityTracker("/mnt/nas", has_marker=True, probe_s=5.0, mount_point="/mnt/nas")
    assert availability.answered(probed("/"), began_s=1.0, at=1001.0).reason is None
    assert availability.mount_point == "/"


def never_accepted(mounted: MountRule, *, has_marker: bool = False) -> AvailabilityTracker:
    return AvailabilityTracker("/mnt/nas/in", has_marker=has_marker, probe_s=5.0, mounted=mounted)


@pytest.mark.parametrize(
    ("mounted", "mount_point", "expected", "is_accepted"),
    [
        ("auto", "/", None, True),
        ("auto", "/", "/mnt", False),
        ("auto", "/", "/mnt/nas", False),
        ("auto", "/mnt", "/mnt/nas", False),
        ("auto", "/mnt", "/mnt", True),
        ("auto", "/mnt/nas", "/mnt", True),
        ("auto", "/mnt/nas", "/mnt/nas", True),
        ("auto", "/mnt/nas/in", "/mnt/nas", True),
        ("yes", "/", None, False),
        ("yes", "/", "/mnt", False),
        ("yes", "/mnt/nas", None, True),
        ("no", "/", "/mnt/nas", True),
    ],
)
def test_a_folder_that_should_be_mounted_is_not_filled_at_the_very_first_start(
    mounted: MountRule, mount_point: str, expected: str | None, is_accepted: bool
) -> None:
    availability = never_accepted(mounted)
    state = availability.answered(
        evolve(probed(mount_point), expected_mount=expected), began_s=1.0, at=1001.0
    )
    assert state.reason is (None if is_accepted else OutageReason.UNMOUNTED)
    assert availability.mount_point == (mount_point if is_accepted else None)
    if not is_accepted:
        assert 'set mounted = "no"' in state.detail
        after = evolve(probed("/mnt/nas"), expected_mount=expected)
        assert availability.answered(after, began_s=2.0, at=1002.0).reason is None


def test_a_marker_says_that_the_folder_is_the_right_one_unless_a_mount_is_required() -> None:
    bare = evolve(probed("/"), expected_mount="/mnt/nas")
    assert never_accepted("auto", has_marker=True).answered(bare, 1.0, 1001.0).reason is None
    required = never_accepted("yes", has_marker=True).answered(bare, 1.0, 1001.0)
    assert required.reason is OutageReason.UNMOUNTED


def test_a_folder_that_is_no_mount_any_more_is_accepted_where_none_is_required() -> None:
    availability = AvailabilityTracker("/mnt/nas", False, 5.0, mount_point="/mnt/nas", mounted="no")
    assert availability.answered(probed("/"), began_s=1.0, at=1001.0).reason is None


def test_a_state_lasts_since_it_began() -> None:
    availability = AvailabilityTracker(NAS, has_marker=False, probe_s=5.0)
    hung, full = OutageReason.HUNG, OutageReason.FULL
    assert availability.failed(hung, "no answer", 1.0, 1001.0).since_at == 1001.0
    assert availability.failed(hung, "still none", 2.0, 1002.0) == DestinationState(
        NAS, hung, "still none", 1001.0, 2.0, None, None, None
    )
    assert availability.failed(full, "", 3.0, 1003.0).since_at == 1003.0
    assert availability.answered(probed("/"), 4.0, 1004.0).since_at == 1004.0
    assert availability.answered(probed("/"), 5.0, 1005.0).since_at == 1004.0


def test_a_destination_that_stays_away_is_probed_ever_less_often_down_to_once_a_minute() -> None:
    availability = AvailabilityTracker(NAS, has_marker=False, probe_s=5.0)
    waits = []
    for number in range(8):
        availability.failed(OutageReason.HUNG, "no answer", float(number), 1000.0)
        waits.append(availability.next_probe_s())
    assert waits == [5.0, 10.0, 20.0, 40.0, *4 * [MAX_PROBE_S]]
    availability.answered(probed("/"), 9.0, 1009.0)
    assert availability.next_probe_s() == 5.0


def test_where_probes_come_more_seldom_than_that_they_keep_their_interval() -> None:
    availability = AvailabilityTracker(NAS, has_marker=False, probe_s=300.0)
    for number in range(5):
        availability.failed(OutageReason.HUNG, "no answer", float(number), 1000.0)
        assert availability.next_probe_s() == 300.0


def good_probes_needed(availability: AvailabilityTracker, began_s: float) -> int:
    """How many in a row end the outage that a copy meets now."""
    availability.report_outage(
        Fault.outage(OutageReason.IO_ERROR, "destination: Input/output error"), began_s, 1000.0
    )
    for number in range(1, 100):
        state = availability.answered(probed("/"), began_s + number, 1000.0)
        if state.reason is None:
            return number
        assert state.reason is OutageReason.IO_ERROR
        assert state.detail.startswith("it comes and goes: ")
        assert availability.next_probe_s() == 5.0
    raise AssertionError("it never ended")


def test_storage_that_comes_and_goes_has_to_answer_well_ever_longer_until_it_is_calm_again() -> None:
    availability = AvailabilityTracker(NAS, has_marker=False, probe_s=5.0)
    availability.answered(probed("/"), 0.0, 1000.0)
    assert [good_probes_needed(availability, 20.0 * number) for number in range(6)] == [
        1, 2, 4, 8, MAX_GOOD_PROBES, MAX_GOOD_PROBES,
    ]  # fmt: skip
    assert good_probes_needed(availability, 200.0 + FLAPPING_WINDOW_S) == 1


def test_a_bad_probe_among_the_good_ones_begins_the_count_again() -> None:
    availability = AvailabilityTracker(NAS, has_marker=False, probe_s=5.0)
    availability.answered(probed("/"), 0.0, 1000.0)
    good_probes_needed(availability, 1.0)
    availability.failed(OutageReason.HUNG, "no answer", 10.0, 1010.0)
    availability.answered(probed("/"), 11.0, 1011.0)
    availability.failed(OutageReason.HUNG, "no answer", 12.0, 1012.0)
    assert availability.answered(probed("/"), 13.0, 1013.0).reason is OutageReason.HUNG
    assert availability.answered(probed("/"), 14.0, 1014.0).reason is None


def test_an_outage_that_a_copy_met_needs_a_probe_that_writes() -> None:
    availability = AvailabilityTracker(NAS, has_marker=False, probe_s=5.0)
    availability.answered(probed("/"), 0.0, 1000.0)
    state = availability.report_outage(Fault.outage(OutageReason.FULL, "no space"), 1.0, 1001.0)
    assert (state.reason, state.detail, state.since_at) == (OutageReason.FULL, "no space", 1001.0)
    assert not availability.is_usable
