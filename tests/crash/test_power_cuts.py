"""Promises S1, S2, S3 and S6, by a power cut behind every operation that changes the storage.

A run is cut behind its n-th operation, for n = 0, 1, 2 ... until it ends before it is cut. The main scenario
is the first start of an agent that moves one file, and every n is tried; so it is with a small file, which
differs from others. In the remaining ones every fourth is. All this with `--every`; without it, every fifth
of these cuts is tried, from the first on.
"""

import pytest

from tests.crash.matrix import Choice
from tests.crash.power import EnterCut, Past, PowerStation, Scenario, cut_each
from tests.crash.variants import ARCHIVE, CLIP, CONFLICT, KEEP, LINK, MOVE, NESTED, Variant

SHARES = 8  # tests among which the cuts of the main scenario are dealt out

# It has no checkpoint; a cut must not count as an attempt.
SMALL = Variant("small", {"note.txt": b"a few bytes"}, {"note.txt": "note.txt"}, keys={"max_attempts": 1})

FIRST_START = Scenario("first start", MOVE, Past.NONE, stride=1)
OTHERS = [
    Scenario("resumed copy", MOVE, Past.COPYING),
    Scenario("nested", NESTED),
    Scenario("archive", ARCHIVE),
    Scenario("conflict", CONFLICT),
    Scenario("link", LINK),
    Scenario("keep", KEEP),
    Scenario("small file", SMALL, stride=1),
    Scenario("just put there", NESTED, unsynced={"day/card/clip.mxf": CLIP}),
]


@pytest.mark.parametrize("share", range(SHARES))
def test_a_first_delivery_survives_a_power_cut_at_every_moment(
    station: PowerStation, enter_cut: EnterCut, choice: Choice, share: int
) -> None:
    cut_each(station, FIRST_START, enter_cut, choice, share, SHARES)


@pytest.mark.parametrize("scenario", OTHERS, ids=lambda scenario: scenario.name)
def test_deliveries_of_other_kinds_survive_power_cuts(
    station: PowerStation, enter_cut: EnterCut, choice: Choice, scenario: Scenario
) -> None:
    cut_each(station, scenario, enter_cut, choice)
