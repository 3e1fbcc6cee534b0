"""Names that no route moves, at any depth and whatever the route includes."""

import fnmatch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.model.built_in_excludes import BUILT_IN_EXCLUDES, excludes_name, excludes_path, is_system_name
from tests.samples import FILE_NAMES

NAMES = FILE_NAMES | st.from_regex(
    r"[.a]?[a~_#@$.]{0,2}(nfs|part|tmp|trash-|in)[.a]?[a-zA-Z0-9]{0,7}", fullmatch=True
)
CONTRACT = [
    *("clip.mxf.tmp", "clip.part", "clip.mxf.partial", "clip.mxf.filepart", "clip.crdownload"),
    *("clip.aria2", "clip.!ut", "clip.opdownload", ".clip.mxf.aB3xY9"),
    *(".nfs000000000123456700000001", ".fuse_hidden0000000200000001", ".DS_Store", "._clip.mxf"),
    *("Thumbs.db", "desktop.ini", ".Trashes", ".Trash-1000", "$RECYCLE.BIN", "#recycle"),
    *(".Spotlight-V100", ".fseventsd", ".DocumentRevisions-V100", ".TemporaryItems", "@eaDir"),
    *(".snapshot", ".stfolder", ".stversions"),
]


@pytest.mark.parametrize("name", [*CONTRACT, "System Volume Information"])
def test_each_name_of_the_contract_is_excluded_in_any_letter_case_and_with_all_below_it(name: str) -> None:
    for spelled in (name, name.upper(), name.lower()):
        rule = excludes_name(spelled)
        assert rule in BUILT_IN_EXCLUDES
        for path in (spelled, f"day/{spelled}", f"{spelled}/clip.mxf", f"day/{spelled}/one/clip.mxf"):
            assert excludes_path(path) == rule


@pytest.mark.parametrize(
    "name",
    [
        *(
            "clip.mxf",
            "tmp",
            "part",
            "clip.tmp.mxf",
            "partial",
            ".hidden",
            ".clip.mxf",
            ".abcdef",
            "..abcdef",
        ),
        *(
            "clip.abcdef",
            ".clip.abcde",
            ".clip.abcdefg",
            ".clip.äöüäöü",
            "nfs0001",
            "Trash-1",
            "snapshot",
            "-rf",
        ),
    ],
)
def test_other_names_are_not_excluded(name: str) -> None:
    assert excludes_name(name) is None
    assert excludes_path(f"day/{name}/{name}") is None


def test_system_names_are_some_of_them() -> None:
    names = (".Trashes", "@EADIR", "._clip.mxf", "clip.mxf.part", ".nfs0001", "clip.mxf")
    assert [is_system_name(name) for name in names] == [True, True, True, False, False, False]


@given(NAMES)
@example(".tmp")
@example(".in.")
@example("")
def test_a_name_is_excluded_when_it_matches_one_of_the_globs(name: str) -> None:
    matching = {glob for glob in BUILT_IN_EXCLUDES if fnmatch.fnmatchcase(name.lower(), glob.lower())}
    rule = excludes_name(name)
    if rule is None:
        assert matching <= {".*.??????"}  # of which the six are letters and digits
    else:
        assert rule in matching
