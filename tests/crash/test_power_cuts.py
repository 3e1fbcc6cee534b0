"""Promises S1, S2, S3 and S6, by a power cut after every operation that changes the storage.

A run is cut after its n-th operation, for n = 0, 1, 2 ... until it ends before its cut. In the main scenario,
the first start of an agent that moves one file, and with a small file every n is tried; in the others every
fourth. All this with `--every`; without it, every fifth of these cuts is tried.
"""

import pytest

from tests.crash.matrix import Selection
from tests.crash.power import PowerCutRig, PriorRun, RecordCut, Scenario, cut_each
from tests.crash.variants import ARCHIVE, CLIP, CONFLICT, KEEP, LINK, MOVE, NESTED, Variant

SHARDS = 8  # tests that share the cuts of the main scenario

# It has no checkpoint, and a cut must not count as an attempt.
SMALL = Variant("small", {"note.txt": b"a few bytes"}, {"note.txt": "note.txt"}, keys={"max_attempts": 1})

FIRST_START = Scenario("first start", MOVE, PriorRun.NONE, stride=1)
OTHERS = [
    Scenario("resumed copy", MOVE, PriorRun.COPYING),
    Scenario("nested", NESTED),
    Scenario("archive", ARCHIVE),
    Scenario("conflict", CONFLICT),
    Scenario("link", LINK),
    Scenario("keep", KEEP),
    Scenario("small file", SMALL, stride=1),
    Scenario("just written", NESTED, unsynced={"day/card/clip.mxf": CLIP}),
]


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_first_delivery_survives_a_power_cut_at_every_moment(
    rig: PowerCutRig, record_cut: RecordCut, selection: Selection, shard: int
) -> None:
    cut_each(rig, FIRST_START, record_cut, selection, shard, SHARDS)


@pytest.mark.parametrize("scenario", OTHERS, ids=lambda scenario: scenario.name)
def test_deliveries_of_other_kinds_survive_power_cuts(
    rig: PowerCutRig, record_cut: RecordCut, selection: Selection, scenario: Scenario
) -> None:
    cut_each(rig, scenario, record_cut, selection)
