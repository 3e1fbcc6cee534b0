"""Names: globs, temporary names, names that make way for a conflict."""

import hashlib
import re
from collections.abc import Callable, Iterable

import xxhash

from agent.model.source_file import FileVersion

PROBE = "transfer-agent"  # the name part of a file that only proves that writing works
NAME_MAX_BYTES = 255  # POSIX NAME_MAX on every file system we met; SMB counts 255 UTF-16 units, which is more

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<mark>[0-9a-f]{8})(?P<proof>[0-9a-f]{8})\.partial", re.DOTALL)
_SPAN = re.compile(r"(?<![^/])\*\*(?:/|\Z)")
_SET = re.compile(r"\[(?P<negation>[!^]?+)(?P<members>.[^\]]*)\]", re.DOTALL)
_RANGE = re.compile(r"(.)(?:-(.))?", re.DOTALL)


def byte_length(name: str) -> int:
    """Length in bytes of a name as the file system stores it (PEP 383 surrogates are one byte each)."""
    return len(name.encode("utf-8", "surrogateescape"))


def shortened(name: str, limit_bytes: int) -> str:
    """The longest prefix of `name` that fits, never cutting inside a character."""
    while byte_length(name) > limit_bytes:
        name = name[:-1]
    return name


def split_path(path: str) -> tuple[str, str]:
    """Folder (with its trailing slash, or empty) and name."""
    folder, slash, name = path.rpartition("/")
    return folder + slash, name


def file_id(route: str, path: str) -> str:
    """Names a path on a route in commands and logs: 16 hexadecimal digits, the same after a restart."""
    return xxhash.xxh64_hexdigest(f"{route}\0{path}".encode("utf-8", "surrogateescape"))


def partial_path(identity: str, file: FileVersion, path: str, take: str) -> str:
    """Where the bytes of `path` stand until they are published: `.<name>.<fingerprint>.partial` beside it.

    The fingerprint's first half covers the source's identity and `take`, which differs from one fresh start
    to the next: a resumed copy can never glue two sources together, and a name stuck on a share is not needed
    again. Its second half proves, by the installation's `identity`, that the name is ours (`has_our_tag`).
    """
    folder, name = split_path(path)
    signature = file.signature
    about = f"{file.route}\0{file.path}\0{signature.device}\0{signature.inode}\0{take}"
    return _temporary(identity, folder, name, about)


def probe_path(identity: str, take: str) -> str:
    """Where a destination's writability is tried: a temporary name of ours in its root."""
    return _temporary(identity, "", PROBE, take)


def has_our_tag(identity: str, path: str) -> bool:
    """Whether only this installation can have made up this temporary name, relative to the destination.

    A foreign name, even one of another installation, passes once in 2**32 times.
    """
    folder, name = split_path(path)
    found = _TEMPORARY.fullmatch(name)
    return found is not None and found["proof"] == _proof(identity, folder, found["name"], found["mark"])


def _temporary(identity: str, folder: str, name: str, about: str) -> str:
    mark = xxhash.xxh64_hexdigest(about.encode("utf-8", "surrogateescape"))[:8]
    name = shortened(name, NAME_MAX_BYTES - len("..0123456789abcdef.partial"))
    return f"{folder}.{name}.{mark}{_proof(identity, folder, name, mark)}.partial"


def _proof(identity: str, folder: str, name: str, mark: str) -> str:
    about = f"{folder}\0{name}\0{mark}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(about, digest_size=4, key=identity.encode()).hexdigest()


def conflict_path(path: str, number: int) -> str:
    """The `number`-th choice for a taken name: clip.mxf, clip_1.mxf, clip_2.mxf ... (0: the name)."""
    if number == 0:
        return path
    folder, name = split_path(path)
    stem, dot, suffix = name.rpartition(".")
    if not stem:  # no dot at all, or only a leading one
        stem, dot, suffix = name, "", ""
    tail = f"_{number}{dot}{suffix}"
    room = NAME_MAX_BYTES - byte_length(tail)
    if room <= 0:  # a suffix as long as a name is no suffix
        tail = f"_{number}"
        stem, room = name, NAME_MAX_BYTES - len(tail)
    short = shortened(stem, room)
    if short + tail == name:  # a name that was shortened for this number before
        short = short[:-1]
    return f"{folder}{short}{tail}"


def compile_globs(patterns: Iterable[str]) -> Callable[[str], bool]:
    """A test whether a relative path matches any of the globs.

    As in gitignore: a pattern without a slash is matched against the name at any depth, one with a slash
    against the whole path; one that ends with a slash means all that is below such a folder. `*`, `?` and
    sets `[...]` stop at slashes, `**` in place of a folder spans any number of them. Letter case is ignored,
    because cameras write C0001.MXF and people write *.mxf.
    """
    sources = [_regex(pattern) for pattern in patterns]
    if not sources:
        return lambda _path: False
    compiled = re.compile("|".join(sources), re.IGNORECASE | re.DOTALL)
    return lambda path: compiled.fullmatch(path) is not None


def _regex(pattern: str) -> str:
    anywhere = "" if "/" in pattern.rstrip("/") else "(?:.*/)?"
    pattern = pattern.removeprefix("/")
    if pattern.endswith("/"):
        pattern += "**"
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        part, at = _next_part(pattern, at)
        parts.append(part)
    return f"(?:{anywhere}{''.join(parts)})"


def _next_part(pattern: str, at: int) -> tuple[str, int]:
    if span := _SPAN.match(pattern, at):
        return "(?:.*/)?" if span[0].endswith("/") else ".*", span.end()
    if pattern[at] == "*":
        return "[^/]*", at + 1
    if pattern[at] == "?":
        return "[^/]", at + 1
    if found := _SET.match(pattern, at):
        return _set(found["members"], negated=bool(found["negation"])), found.end()
    return re.escape(pattern[at]), at + 1


def _set(members: str, *, negated: bool) -> str:
    """One character but a slash; a range from high to low is empty."""
    ranges = [(low, high or low) for low, high in _RANGE.findall(members)]
    items = "".join(f"{re.escape(low)}-{re.escape(high)}" for low, high in ranges if low <= high)
    if negated:
        return f"[^/{items}]"
    return f"(?!/)[{items}]" if items else "(?!)"


def file_filter(include: Iterable[str], exclude: Iterable[str]) -> Callable[[str], bool]:
    """Whether a route wants the file with this relative path."""
    include = tuple(include)
    wanted = compile_globs(include) if include else None
    unwanted = compile_globs(exclude)
    return lambda path: not unwanted(path) and (wanted is None or wanted(path))
