"""File names: temporary names, conflict names, file ids and globs."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, pairwise

import xxhash

from agent.model.source_file import FileVersion

PROBE = "transfer-agent"  # the name part of the file that a write probe creates
NAME_MAX_BYTES = 255  # NAME_MAX of the usual file systems; SMB allows more, 255 UTF-16 units
TEMPORARY_MAX_BYTES = 143  # NAME_MAX of encrypted shares (eCryptfs), the lowest that is in use

MAX_ALTERNATIVES = 1000
STAR, SPAN = "[^/]*", "(?:[^/]*/)*"  # of a glob, as regular expressions

PARTIAL, REMOVING = "partial", "removing"

_TEMPORARY = re.compile(
    rf"\.(?P<name>.+)\.(?P<id>[0-9a-f]{{8}})(?P<tag>[0-9a-f]{{8}})\.(?P<kind>{PARTIAL}|{REMOVING})", re.DOTALL
)
_SPAN = re.compile(r"(?<![^/])\*\*(?:/|\Z)")
_SET = re.compile(r"\[(?P<negation>[!^]?+)(?P<members>.[^\]]*)\]", re.DOTALL)
_RANGE = re.compile(r"(.)(?:-(.))?", re.DOTALL)


def byte_length(name: str) -> int:
    """Return the length in bytes as the file system stores the name; a PEP 383 surrogate is one byte."""
    return len(name.encode("utf-8", "surrogateescape"))


def shortened(name: str, limit_bytes: int) -> str:
    """Return the longest prefix of `name` that fits; no character is cut."""
    while byte_length(name) > limit_bytes:
        name = name[:-1]
    return name


def split_path(path: str) -> tuple[str, str]:
    """Split into the folder, empty or with its trailing slash, and the name."""
    folder, slash, name = path.rpartition("/")
    return folder + slash, name


def file_id(route: str, path: str) -> str:
    """Return the id of a path on a route, 16 hexadecimal digits; it is the same after a restart."""
    return xxhash.xxh64_hexdigest(f"{route}\0{path}".encode("utf-8", "surrogateescape"))


def partial_path(identity: str, file: FileVersion, path: str, nonce: str) -> str:
    """Return the temporary name of `path` beside it, `.<name>.<fingerprint>.partial`.

    The fingerprint is an id and a tag of 8 hexadecimal digits each. The id is a hash of the source file's
    identity and `nonce`, which is new for every copy that starts from the beginning. So a resumed copy never
    joins two sources, and a name that is stuck on a share is not reused. The tag is keyed with the
    installation's `identity`: `has_our_tag` recognizes it.
    """
    folder, name = split_path(path)
    signature = file.signature
    hashed = f"{file.route}\0{file.path}\0{signature.device}\0{signature.inode}\0{nonce}"
    return _temporary(identity, folder, name, hashed)


def probe_path(identity: str, nonce: str) -> str:
    """Return the temporary name, in the destination's root, of the file that a write probe creates."""
    return _temporary(identity, "", PROBE, nonce)


def path_at(destination: str, name: str) -> str:
    """Return where a name at a destination is, as operators read it."""
    return f"{destination.rstrip('/')}/{name}"


def removing_path(identity: str, path: str, partial: str) -> str:
    """Return the private name of a source that is being removed, `.<name>.<fingerprint>.removing`.

    It is beside `path`. Its transfer's `partial` makes it unique, so the journal needs no further note of it.
    It is no longer than the name itself where the file system may not allow that.
    """
    folder, name = split_path(path)
    limit_bytes = max(byte_length(name), TEMPORARY_MAX_BYTES)
    return _temporary(identity, folder, name, f"{path}\0{partial}", REMOVING, limit_bytes)


def has_our_tag(identity: str, path: str, kind: str = PARTIAL) -> bool:
    """Return whether this installation made this temporary name of this kind, in whatever folder it is now.

    A foreign name, even of another installation, passes with a probability of 2**-32.
    """
    _, name = split_path(path)
    if not name.endswith(kind):  # most names; a scan asks for millions
        return False
    found = _TEMPORARY.fullmatch(name)
    if found is None or found["kind"] != kind:
        return False
    return found["tag"] == _tag(identity, found["name"], found["id"], kind)


def path_before_removal(private_path: str) -> str:
    """Return the path that a source had before it got this private one; a long name stays shortened."""
    folder, name = split_path(private_path)
    found = _TEMPORARY.fullmatch(name)
    return folder + (found["name"] if found else name)


def _temporary(
    identity: str,
    folder: str,
    name: str,
    hashed: str,
    kind: str = PARTIAL,
    limit_bytes: int = TEMPORARY_MAX_BYTES,
) -> str:
    temp_id = xxhash.xxh64_hexdigest(hashed.encode("utf-8", "surrogateescape"))[:8]
    name = shortened(name, limit_bytes - len(f"..0123456789abcdef.{kind}"))
    return f"{folder}.{name}.{temp_id}{_tag(identity, name, temp_id, kind)}.{kind}"


def _tag(identity: str, name: str, temp_id: str, kind: str) -> str:
    """Return a keyed hash (RFC 7693) over the temporary name, as 8 hexadecimal digits.

    Its folder is left out: somebody may rename that, and the file in it is still ours.
    """
    domain = "" if kind == PARTIAL else f"\0{kind}"
    tagged = f"{name}\0{temp_id}{domain}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(tagged, digest_size=4, key=identity.encode()).hexdigest()


def conflict_path(path: str, number: int, name_max_bytes: int = NAME_MAX_BYTES) -> str:
    """Return the `number`-th name to try when a name is taken: clip.mxf, clip_1.mxf, clip_2.mxf ...

    It is shortened to `name_max_bytes`, the most that its folder allows.
    """
    if number == 0:
        return path
    folder, name = split_path(path)
    stem, dot, suffix = name.rpartition(".")
    if not stem:  # no dot at all, or only a leading one
        stem, dot, suffix = name, "", ""
    tail = f"_{number}{dot}{suffix}"
    room = name_max_bytes - byte_length(tail)
    if room <= 0:  # a suffix as long as a name is no suffix
        tail = f"_{number}"
        stem, room = name, name_max_bytes - len(tail)
    short = shortened(stem, room)
    if short + tail == name:  # the name itself is one that was shortened for this number
        short = short[:-1]
    return f"{folder}{short}{tail}"


def compile_globs(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return a test whether a relative path matches any of the globs, with the rules of gitignore.

    A pattern without a slash matches the name at any depth, one with a slash the whole path. A pattern that
    ends with a slash matches everything below such a folder. `*`, `?` and sets `[...]` stop at slashes; `**`
    as a path element spans any number of folders; `{a,b}` stands for either. Letter case is ignored, because
    cameras write C0001.MXF and people write *.mxf.

    Raises:
        ValueError: as `expand_braces`.
    """
    sources = [_regex(glob) for pattern in patterns for glob in expand_braces(pattern)]
    if not sources:
        return lambda _path: False
    compiled = re.compile("|".join(sources), re.IGNORECASE | re.DOTALL)
    return lambda path: compiled.fullmatch(path) is not None


def expand_braces(pattern: str) -> tuple[str, ...]:
    """Return a pattern for each choice of alternatives; braces without a comma, or in a set, are literal.

    Raises:
        ValueError: there are more than `MAX_ALTERNATIVES`.
    """
    expanded = tuple(islice(_alternatives(pattern), MAX_ALTERNATIVES + 1))
    if len(expanded) > MAX_ALTERNATIVES:
        raise ValueError(f"its braces stand for more than {MAX_ALTERNATIVES} globs")
    return expanded


def _alternatives(pattern: str) -> Iterator[str]:
    found = _first_braces(pattern)
    if found is None:
        yield pattern
        return
    begin, *commas, end = found
    for left, right in pairwise((begin, *commas, end)):
        yield from _alternatives(pattern[:begin] + pattern[left + 1 : right] + pattern[end + 1 :])


def _first_braces(pattern: str) -> list[int] | None:
    """The places of the first brace with alternatives, of its commas, and of the brace that closes it."""
    for begin in _places(pattern, "{"):
        depth, found = 0, [begin]
        for at in _places(pattern, "{,}", begin):
            depth += {"{": 1, ",": 0, "}": -1}[pattern[at]]
            if depth == 0:
                if len(found) > 1:
                    return [*found, at]
                break
            if depth == 1 and pattern[at] == ",":
                found.append(at)
    return None


def _places(pattern: str, wanted: str, at: int = 0) -> Iterator[int]:
    """Where these characters are, except in sets."""
    while at < len(pattern):
        if found := _SET.match(pattern, at):
            at = found.end()
            continue
        if pattern[at] in wanted:
            yield at
        at += 1


def _regex(pattern: str) -> str:
    """A regular expression that takes no more than quadratic time.

    What stands between two wildcards of a kind may be taken where it is found first, because the later
    wildcard takes in whatever comes before the next find. So it is never tried again further on: that is what
    the atomic groups `(?>...)` say.
    """
    anywhere = "/" not in pattern.rstrip("/")
    pattern = pattern.removeprefix("/")
    if pattern.endswith("/"):
        pattern += "**"
    parts = [SPAN] if anywhere else []
    at = 0
    while at < len(pattern):
        part, at = _next_part(pattern, at)
        parts.append(part)
    first, *later = _split(parts, SPAN)
    if not later:
        return f"(?:{_block(first, is_last=True)})"
    *middle, last = later
    inner = "".join(f"(?>{SPAN}?{_block(block, is_last=False)})" for block in middle)
    return f"(?:{_block(first, is_last=False)}{inner}{SPAN}?{_block(last, is_last=True)})"


def _block(parts: list[str], *, is_last: bool) -> str:
    """What stands between two spans; the last star of the pattern has to reach its end."""
    first, *later = map("".join, _split(parts, STAR))
    if not is_last or not later:
        return first + "".join(f"(?>{STAR}?{fixed})" for fixed in later)
    *middle, last = later
    return first + "".join(f"(?>{STAR}?{fixed})" for fixed in middle) + STAR + last


def _split(parts: list[str], separator: str) -> list[list[str]]:
    groups: list[list[str]] = [[]]
    for part in parts:
        if part == separator:
            groups.append([])
        else:
            groups[-1].append(part)
    return groups


def _next_part(pattern: str, at: int) -> tuple[str, int]:
    if span := _SPAN.match(pattern, at):
        return SPAN if span[0].endswith("/") else ".*", span.end()
    if pattern[at] == "*":
        return STAR, at + 1
    if pattern[at] == "?":
        return "[^/]", at + 1
    if found := _SET.match(pattern, at):
        return _set(found["members"], negated=bool(found["negation"])), found.end()
    return re.escape(pattern[at]), at + 1


def _set(members: str, *, negated: bool) -> str:
    """Translate a set: one character other than a slash; a range from high to low is empty."""
    ranges = [(low, high or low) for low, high in _RANGE.findall(members)]
    items = "".join(f"{re.escape(low)}-{re.escape(high)}" for low, high in ranges if low <= high)
    if negated:
        return f"[^/{items}]"
    return f"(?!/)[{items}]" if items else "(?!)"


def file_filter(include: Iterable[str], exclude: Iterable[str]) -> Callable[[str], bool]:
    """Return a test whether a route wants the file with this relative path."""
    include = tuple(include)
    wanted = compile_globs(include) if include else None
    unwanted = compile_globs(exclude)
    return lambda path: not unwanted(path) and (wanted is None or wanted(path))
