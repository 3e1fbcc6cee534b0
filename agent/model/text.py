"""Text helpers: names and sizes for display, and whether a path lies inside a folder."""

import re

_SURROGATES = re.compile("[\ud800-\udfff]")
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
UNIT_STEP = 1024


def on_one_line(text: str) -> str:
    r"""Escape line breaks, terminal codes and undecodable bytes as `\n`, `\udcff`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def as_unicode(text: str) -> str:
    """Replace each byte that is not UTF-8 (a surrogate, PEP 383) with U+FFFD."""
    return _SURROGATES.sub("\ufffd", text)


def is_inside(path: str, folder: str) -> bool:
    """Return whether the path is the folder or lies below it; both are absolute, without `..` and links."""
    return f"{path.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")


def lies_above(folder: str, other: str) -> bool:
    """Return whether `other` is below the folder, and not the folder itself."""
    return folder != other and is_inside(other, folder)


def size_text(size_bytes: float) -> str:
    unit = 0
    while size_bytes >= UNIT_STEP and unit < len(UNITS) - 1:
        size_bytes /= UNIT_STEP
        unit += 1
    return f"{size_bytes:.0f} {UNITS[unit]}" if unit == 0 else f"{size_bytes:.1f} {UNITS[unit]}"
