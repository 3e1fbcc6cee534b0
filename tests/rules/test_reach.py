import pytest

from agent.faults import OutageReason
from agent.messages import StorageState
from agent.protocol import Probed
from agent.rules.reach import Reach
from tests.rules.samples import NAS


def probed(mount_point: str) -> Probed:
    return Probed(device=7, mount_point=mount_point, free_bytes=5, total_bytes=10)


def test_the_first_answer_is_accepted_and_remembered() -> None:
    reach = Reach(NAS, has_marker=False)
    assert (reach.is_usable, reach.mount_point) == (False, None)
    state = reach.answered(probed("/"), began_s=1.0, at=1001.0)
    assert state == StorageState(NAS, None, "", 1001.0, 1.0, 5, 10, 7)
    assert (reach.is_usable, reach.mount_point) == (True, "/")


@pytest.mark.parametrize("above", ["/", "/mnt", "/mnt/"])
def test_a_folder_that_lies_on_the_mount_above_is_unmounted(above: str) -> None:
    reach = Reach("/mnt/nas/in", has_marker=False, mount_point="/mnt/nas")
    state = reach.answered(probed(above), began_s=1.0, at=1001.0)
    assert state.reason is OutageReason.UNMOUNTED
    assert state.detail.startswith(f"/mnt/nas is not mounted, the folder now lies on {above}: ")
    assert (state.free_bytes, state.total_bytes, state.device) == (None, None, None)
    assert (reach.is_usable, reach.mount_point) == (False, "/mnt/nas")
    assert reach.answered(probed("/mnt/nas"), began_s=2.0, at=1002.0).reason is None


@pytest.mark.parametrize("mount_point", ["/mnt/nas", "/mnt/nas/in", "/mnt/na", "/elsewhere"])
def test_a_mount_that_does_not_lie_above_is_accepted(mount_point: str) -> None:
    reach = Reach("/mnt/nas/in", has_marker=False, mount_point="/mnt/nas")
    assert reach.answered(probed(mount_point), began_s=1.0, at=1001.0).reason is None
    assert reach.mount_point == mount_point


def test_a_marker_overrules_the_mount() -> None:
    reach = Reach("/mnt/nas", has_marker=True, mount_point="/mnt/nas")
    assert reach.answered(probed("/"), began_s=1.0, at=1001.0).reason is None
    assert reach.mount_point == "/"


def test_a_state_lasts_since_it_began() -> None:
    reach = Reach(NAS, has_marker=False)
    hung, full = OutageReason.HUNG, OutageReason.FULL
    assert reach.failed(hung, "no answer", 1.0, 1001.0).since_at == 1001.0
    assert reach.failed(hung, "still none", 2.0, 1002.0) == StorageState(
        NAS, hung, "still none", 1001.0, 2.0, None, None, None
    )
    assert reach.failed(full, "", 3.0, 1003.0).since_at == 1003.0
    assert reach.answered(probed("/"), 4.0, 1004.0).since_at == 1004.0
    assert reach.answered(probed("/"), 5.0, 1005.0).since_at == 1004.0
