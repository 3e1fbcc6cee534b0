import fnmatch
import re

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from agent.model.names import (
    NAME_MAX_BYTES,
    PARTIAL,
    REMOVING,
    TEMPORARY_MAX_BYTES,
    byte_length,
    compile_globs,
    conflict_path,
    expand_braces,
    file_filter,
    file_id,
    has_our_tag,
    partial_path,
    path_before_removal,
    probe_path,
    removing_path,
    shortened,
    split_path,
)
from tests.samples import FILE_NAMES, IDENTITY, a_file, but

PATHS = st.lists(FILE_NAMES, min_size=1, max_size=3).map("/".join)
LETTERS = "abAB.é"
# A range from a sign to a letter has capital letters in it, which `fnmatch` does not find in lower case.
MEMBERS = st.text("abc-.", min_size=1, max_size=4).filter(lambda text: not re.search("[-.]-[a-c]", text))
SETS = st.builds("[{}{}]".format, st.sampled_from(["", "!", "^"]), MEMBERS)
SEGMENTS = st.one_of(
    st.just("**"), st.lists(st.one_of(st.text(LETTERS, max_size=2), st.sampled_from("*?"), SETS)).map("".join)
)
GLOBS = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join).filter(lambda glob: not glob.startswith("/"))
PLAIN_PATHS = st.lists(st.text(LETTERS + "c-", min_size=1, max_size=4), min_size=1, max_size=4).map("/".join)


def matches(pattern: str, path: str) -> bool:
    return compile_globs([pattern])(path)


def expected(pattern: str, path: str) -> bool:
    """The rules of gitignore once more, for the names of files, segment by segment."""
    pattern, path = pattern.lower().replace("[^", "[!"), path.lower()
    if pattern.endswith("/"):
        pattern += "**"
        return expected_segments(pattern.split("/"), path.split("/")) or (
            pattern.count("/") == 1 and expected_segments(["**", *pattern.split("/")], path.split("/"))
        )
    if "/" not in pattern:
        return fnmatch.fnmatchcase(path.rpartition("/")[2], pattern)
    return expected_segments(pattern.split("/"), path.split("/"))


def expected_segments(patterns: list[str], names: list[str]) -> bool:
    if not patterns or not names:
        return not patterns and not names
    if patterns == ["**"]:
        return True
    if patterns[0] == "**":
        return any(expected_segments(patterns[1:], names[skipped:]) for skipped in range(len(names)))
    return fnmatch.fnmatchcase(names[0], patterns[0]) and expected_segments(patterns[1:], names[1:])


@pytest.mark.parametrize("name", ["b", "B"])
def test_a_range_that_has_capital_letters_in_it_has_the_small_ones_too(name: str) -> None:
    assert matches("[.-a]", name)
    assert not matches("[!.-a]", name)


@given(GLOBS, PLAIN_PATHS)
@example("**/a", "a")
@example("a/**", "a")
@example("a/**/b", "a/b")
@example("a**/b", "ab")
@example("[!-a]", "b")
@example("[b-a]", "-")
@example("[!b-a]", "b")
@example("a/", "b/a/c")
def test_globs_match_as_in_gitignore_with_letter_case_ignored(pattern: str, path: str) -> None:
    assert matches(pattern, path) is expected(pattern, path)


@given(GLOBS)
def test_a_glob_matches_whatever_the_letter_case(pattern: str) -> None:
    for path in ("a.b", "é/b", "b/a/é.a"):
        assert matches(pattern, path) is matches(pattern, path.upper())
        if "-" not in pattern:  # a range such as [.-a] holds other characters in upper case
            assert matches(pattern, path) is matches(pattern.upper(), path)


@given(st.text("ab[]!^-*?/\\&|~", max_size=8), st.text("ab[]-\\&|~", max_size=4))
def test_any_text_is_a_glob(pattern: str, path: str) -> None:
    assert matches(pattern, path) in (True, False)


@given(PATHS)
def test_everything_matches_any_path_and_an_exact_name_is_only_itself(path: str) -> None:
    assert matches("**", path)
    assert matches("*", path)
    assert matches("?" * len(split_path(path)[1]), path)
    assert not matches("*/" + "?" * len(path), "x")


@pytest.mark.parametrize(
    ("pattern", "path", "does"),
    [
        ("*.mxf", "C0001.MXF", True),
        ("*.mxf", "day/one/C0001.MXF", True),
        ("*.mxf", "a.mxf/b.txt", False),
        ("day/*.mxf", "day/one/a.mxf", False),
        ("/day/*.mxf", "day/a.mxf", True),
        ("/a.mxf", "day/a.mxf", False),
        ("day/**/a.mxf", "day/1/2/a.mxf", True),
        ("[]a]", "]", True),
        ("[!]a]", "]", False),
        ("[!]a]", "b", True),
        ("[]", "[]", True),
        ("[!]", "[!]", True),
        ("a[+-9]b", "a/b", False),
        ("a[!b]c", "a/c", False),
        ("[\\d]", "7", False),
        ("[[]x]", "[x]", True),
        ("line\nbreak*", "line\nbreak\n.mxf", True),
        ("temp/", "day/temp/a.mxf", True),
        ("temp/", "temp", False),
        ("day/temp/", "other/day/temp/a.mxf", False),
        ("*.{mxf,mov}", "day/a.MOV", True),
        ("*.{mxf,mov}", "a.wav", False),
        ("{day,night}/**/{a,b*}.{mxf,mov}", "night/1/bc.mxf", True),
        ("{day,night}/**/{a,b*}.{mxf,mov}", "noon/1/bc.mxf", False),
        ("a{,_[0-9]}.mxf", "a.mxf", True),
        ("a{,_[0-9]}.mxf", "a_7.mxf", True),
        ("{a,b{c,d}}", "bd", True),
        ("{a,b{c,d}}", "b", False),
        ("{clip}.mxf", "{clip}.mxf", True),
        ("{a,b", "{a,b", True),
        ("{{a,b}", "{b", True),
        ("[{]a,b}", "{a,b}", True),
    ],
)
def test_a_glob_means_what_people_expect(pattern: str, path: str, does: bool) -> None:
    assert matches(pattern, path) is does


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 40 + "b", "a" * 250),
        ("*?" * 40 + "b", "a" * 250),
        ("*" * 60 + "b", "a" * 250),
        ("**/a/" * 20 + "b", "a/" * 60 + "c"),
        ("**/*a*a*a/" * 12 + "b", "aaaa/" * 40 + "c"),
    ],
)
def test_a_glob_of_many_stars_is_matched_without_trying_every_way(pattern: str, path: str) -> None:
    assert not matches(pattern, path)  # a matcher that backtracks does not get this far
    assert matches(pattern, path[:-1] + "b")


def test_braces_that_stand_for_too_many_globs_are_refused() -> None:
    assert len(expand_braces("{a,b}" * 9)) == 2**9
    with pytest.raises(ValueError, match="more than 1000"):
        compile_globs(["{a,b}" * 40])


def test_a_file_is_wanted_when_it_is_included_and_not_excluded() -> None:
    everything, some = file_filter((), ["*.tmp"]), file_filter(["*.mxf", "*.mov"], ["_*"])
    assert [everything(path) for path in ("a.mxf", "b/a.TMP")] == [True, False]
    assert [some(path) for path in ("a.mxf", "b/a.mov", "_a.mov", "a.txt")] == [True, True, False, False]


@given(PATHS)
def test_a_route_without_globs_wants_everything(path: str) -> None:
    assert file_filter((), ())(path)
    assert not compile_globs(())(path)


@given(PATHS, st.text("0123456789abcdef", min_size=1))
def test_a_partial_is_beside_the_name_and_fits(path: str, nonce: str) -> None:
    partial = partial_path(IDENTITY, a_file(path), path, nonce)
    folder, name = split_path(partial)
    assert folder == split_path(path)[0]
    assert byte_length(name) <= TEMPORARY_MAX_BYTES
    assert name.startswith(".")
    assert name.endswith(".partial")
    assert split_path(path)[1].startswith(name[1 : -len(".0123456789abcdef.partial")])


@given(PATHS, st.sets(st.text(max_size=8), min_size=2, max_size=5))
def test_distinct_nonces_have_distinct_partials(path: str, nonces: set[str]) -> None:
    file = a_file(path)
    assert len({partial_path(IDENTITY, file, path, nonce) for nonce in nonces}) == len(nonces)


IDENTITIES = st.text("0123456789abcdef", min_size=32, max_size=32)
FOREIGN = st.one_of(
    PATHS,
    st.from_regex(r"\A\.[^/]{1,9}\.[0-9a-f]{16}\.partial\Z"),
    st.from_regex(r"\A([a-c]/){1,2}\.clip\.mxf\.[0-9a-f]{16}\.partial\Z"),
)


@given(IDENTITIES, PATHS, st.text(max_size=8))
def test_a_temporary_name_proves_that_it_is_ours(identity: str, path: str, nonce: str) -> None:
    assert has_our_tag(identity, partial_path(identity, a_file(path), path, nonce))
    assert has_our_tag(identity, probe_path(identity, nonce))
    assert split_path(probe_path(identity, nonce))[0] == ""


@given(st.sets(IDENTITIES, min_size=2, max_size=2), PATHS)
def test_a_temporary_name_of_another_installation_is_not_ours(identities: set[str], path: str) -> None:
    one, other = identities
    assert not has_our_tag(other, partial_path(one, a_file(path), path, "take"))
    assert not has_our_tag(other, probe_path(one, "take"))


@given(FOREIGN)
@example(".clip.mxf.0123456789abcdef.partial")
@example("..0123456789abcdef.partial")
@example(".transfer-agent.0123456789abcdef.partial")
def test_a_name_like_a_temporary_name_is_not_ours(path: str) -> None:
    assert not has_our_tag(IDENTITY, path)


@given(PATHS, FILE_NAMES.filter(lambda name: len(name) < 9))
def test_a_temporary_name_is_ours_in_whatever_folder_it_was_moved_to(path: str, folder: str) -> None:
    partial = partial_path(IDENTITY, a_file(path), path, "take")
    private = removing_path(IDENTITY, path, partial)
    for temporary, kind in ((partial, PARTIAL), (private, REMOVING)):
        name = split_path(temporary)[1]
        for moved in (name, f"{folder}/{name}", f"{folder}/{temporary}"):
            assert has_our_tag(IDENTITY, moved, kind)
    assert path_before_removal(f"{folder}/{split_path(private)[1]}").startswith(f"{folder}/")


@given(PATHS, st.data())
def test_a_temporary_name_that_was_changed_is_not_ours(path: str, data: st.DataObject) -> None:
    name = split_path(partial_path(IDENTITY, a_file(path), path, "take"))[1]
    at = data.draw(st.integers(0, len(name) - 1))
    other = data.draw(st.sampled_from("0af.x").filter(lambda letter: letter != name[at]))
    assert not has_our_tag(IDENTITY, name[:at] + other + name[at + 1 :])
    assert not has_our_tag(IDENTITY, name + other)
    assert not has_our_tag(IDENTITY, other + name)


@given(PATHS, st.text(max_size=8))
@example("a" * 255, ".p.partial")
@example("day/" + "ü" * 71, ".p.partial")
def test_the_private_name_of_a_removal_is_beside_the_source_and_fits_where_that_fits(
    path: str, partial: str
) -> None:
    private = removing_path(IDENTITY, path, partial)
    (folder, name), (source_folder, source_name) = split_path(private), split_path(path)
    assert folder == source_folder
    assert byte_length(name) <= max(byte_length(source_name), 143)
    assert has_our_tag(IDENTITY, private, REMOVING)
    assert not has_our_tag(IDENTITY, private)
    assert not has_our_tag("f" * 32, private, REMOVING)
    before = split_path(path_before_removal(private))
    assert before[0] == folder
    assert before[1] == source_name or (byte_length(source_name) > 116 and source_name.startswith(before[1]))


@given(PATHS, st.sets(st.text(max_size=8), min_size=2, max_size=5))
def test_distinct_transfers_have_distinct_private_names(path: str, partials: set[str]) -> None:
    assert len({removing_path(IDENTITY, path, partial) for partial in partials}) == len(partials)


def test_a_partial_is_no_private_name_and_another_name_has_none() -> None:
    assert not has_our_tag(IDENTITY, partial_path(IDENTITY, a_file("a"), "a", "1"), REMOVING)
    assert not has_our_tag(IDENTITY, ".clip.mxf.0123456789abcdef.removing", REMOVING)
    assert path_before_removal("day/clip.mxf") == "day/clip.mxf"


@given(PATHS)
def test_distinct_sources_have_distinct_partials(path: str) -> None:
    file = a_file(path)
    other_inode = evolve(file, signature=but(file.signature, inode=99))
    other_route = evolve(file, route="other")
    assert len({partial_path(IDENTITY, each, path, "1") for each in (file, other_inode, other_route)}) == 3


@given(
    PATHS,
    st.sets(st.one_of(st.integers(0, 12), st.integers(0, 10**6)), min_size=2, max_size=12),
    st.sampled_from([143, NAME_MAX_BYTES]),
)
@example("a" * 249 + "_1.mxf", {0, 1}, NAME_MAX_BYTES)
@example("a_9." + "b" * 251, {0, 9, 10}, NAME_MAX_BYTES)
@example("é." + "b" * 251, {0, 9, 10}, NAME_MAX_BYTES)
@example("a" * 137 + "_1.mxf", {0, 1}, 143)
def test_every_conflict_name_is_another_one_in_the_same_folder(
    path: str, numbers: set[int], name_max_bytes: int
) -> None:
    choices = {conflict_path(path, number, name_max_bytes) for number in numbers}
    assert len(choices) == len(numbers)
    assert {split_path(choice)[0] for choice in choices} == {split_path(path)[0]}
    lengths = {byte_length(split_path(choice)[1]) for choice in choices - {path}}
    assert all(0 < length <= name_max_bytes for length in lengths)


@pytest.mark.parametrize(
    ("path", "choice"),
    [
        ("clip.mxf", "clip_2.mxf"),
        ("day/clip", "day/clip_2"),
        ("day.1/clip", "day.1/clip_2"),
        (".hidden", ".hidden_2"),
        ("clip.", "clip_2."),
        ("clip.tar.gz", "clip.tar_2.gz"),
        ("a." + "b" * 253, "a." + "b" * 251 + "_2"),
    ],
)
def test_a_conflict_number_comes_before_the_suffix(path: str, choice: str) -> None:
    assert conflict_path(path, 0) == path
    assert conflict_path(path, 2) == choice


@given(FILE_NAMES, st.integers(0, 255))
def test_a_shortened_name_is_the_longest_prefix_that_fits(name: str, limit_bytes: int) -> None:
    short = shortened(name, limit_bytes)
    assert name.startswith(short)
    assert byte_length(short) <= limit_bytes
    assert short == name or byte_length(name[: len(short) + 1]) > limit_bytes


@given(PATHS, PATHS)
def test_a_file_is_named_by_its_route_and_path(one: str, other: str) -> None:
    assert file_id("mxf", one) == file_id("mxf", one)
    assert (file_id("mxf", one) == file_id("mxf", other)) is (one == other)
    assert file_id("mxf", one) != file_id("mov", one)
    assert len(file_id("mxf", one)) == 16
