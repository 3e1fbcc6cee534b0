"""What `check-config --probe` says of the mount of a destination."""

import pytest
from attrs import evolve

from agent.config.sections import MountRule
from agent.offline.probe_places import mount_finding
from agent.protocol.replies import Probed
from tests.actors.samples import PLAN

ON_ROOT = Probed(1, "/", 1, 2)


@pytest.mark.parametrize(
    ("rule", "probed", "finding"),
    [
        ("auto", ON_ROOT, "on /"),
        ("yes", ON_ROOT, "no: nothing is mounted there, the folder lies on /"),
        ("auto", evolve(ON_ROOT, expected_mount="/mnt/nas"), "no: nothing is mounted at or below /mnt/nas"),
        ("auto", Probed(1, "/mnt/nas", 1, 2, "/mnt/nas"), "on /mnt/nas"),
        ("no", evolve(ON_ROOT, expected_mount="/mnt/nas"), "on /"),
    ],
)
def test_a_destination_that_should_be_mounted_and_is_not_is_said(
    rule: MountRule, probed: Probed, finding: str
) -> None:
    assert mount_finding(evolve(PLAN, mounted=rule), probed).startswith(finding)
