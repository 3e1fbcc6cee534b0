"""Parses and formats durations, sizes and bandwidths. A formatted value parses to the same value."""

import re
from decimal import Decimal

from agent.model.storage import BandwidthStep

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
LONGEST_S = 366 * 86_400
LARGEST_BYTES = (1 << 63) - 1

_MILLISECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_DURATION = re.compile("".join(rf"(?:([0-9]+(?:\.[0-9]+)?){unit}(?![a-z]))?" for unit in _MILLISECONDS))
_BYTES = {
    "": 1,
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": KIB,
    "MiB": MIB,
    "GiB": GIB,
    "TiB": 1 << 40,
}
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)")
_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


def parse_duration(text: str) -> float:
    """Seconds, to the millisecond, from "90", "90s", "2m", "250ms", "1h30m".

    Raises:
        ValueError: not a duration, or longer than 366 days.
    """
    if _NUMBER.fullmatch(text):
        milliseconds = Decimal(text) * 1000
    elif text and (parts := _DURATION.fullmatch(text)):
        counts = zip(parts.groups(), _MILLISECONDS.values(), strict=True)
        milliseconds = sum((Decimal(count) * each for count, each in counts if count), Decimal(0))
    else:
        raise ValueError('must be a duration such as 90 (seconds), "90s", "2m", "1h30m" or "250ms"')
    if milliseconds > LONGEST_S * 1000:
        raise ValueError("must be 366 days at the most")
    return round(milliseconds) / 1000


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads as `seconds`; "0s" for zero."""
    rest = round(seconds * 1000)
    parts = []
    for unit, each in _MILLISECONDS.items():
        count, rest = divmod(rest, each)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_size(text: str) -> int:
    """Bytes from "1024", "50GiB" (1024 cubed), "8MB" (1000 squared), "1.5GB"; a fraction is dropped.

    Raises:
        ValueError: not a size, or more than 2^63 - 1 bytes.
    """
    parts = _SIZE.fullmatch(text)
    if parts is None or parts[2] not in _BYTES:
        raise ValueError('must be a size such as 8000000 (bytes), "8MB" (the same) or "8MiB" (8388608)')
    size_bytes = int(Decimal(parts[1]) * _BYTES[parts[2]])
    if size_bytes > LARGEST_BYTES:
        raise ValueError("must be 2^63 - 1 bytes at the most")
    return size_bytes


def format_size(size_bytes: int) -> str:
    """The shortest text without a fraction that `parse_size` reads as `size_bytes`."""
    texts = [
        f"{size_bytes // each}{unit}" for unit, each in _BYTES.items() if unit and size_bytes % each == 0
    ]
    return min(texts, key=len)


def parse_bandwidth(text: str) -> tuple[BandwidthStep, ...]:
    """Steps in the order of the day, from "50MB" (bytes a second, all day) or "08:00,20MB 19:00,off".

    Before the first step of a day the last step of the day before applies. No limit: "" or "off".

    Raises:
        ValueError: neither a rate nor a timetable, no rate at all, or two steps at the same time.
    """
    if text in ("", "off"):
        return ()
    if "," not in text:
        return (BandwidthStep(0, _rate(text)),)
    steps = sorted((_step(step) for step in text.split()), key=lambda step: step.minute_of_day)
    if len({step.minute_of_day for step in steps}) < len(steps):
        raise ValueError("must not name the same time twice")
    return tuple(steps)


def format_bandwidth(steps: tuple[BandwidthStep, ...]) -> str:
    """The text that `parse_bandwidth` reads as `steps`."""
    match steps:
        case (BandwidthStep(0, int(all_day)),):
            return format_size(all_day)
        case _:
            return " ".join(_step_text(step) for step in steps)


def _step(text: str) -> BandwidthStep:
    time, _, rate = text.partition(",")
    clock = _TIME_OF_DAY.fullmatch(time)
    if clock is None:
        raise ValueError('must be a rate such as "50MB", or a timetable such as "08:00,20MB 19:00,off"')
    return BandwidthStep(int(clock[1]) * 60 + int(clock[2]), None if rate == "off" else _rate(rate))


def _rate(text: str) -> int:
    rate = parse_size(text)
    if rate == 0:
        raise ValueError("must not be 0; to stop a route, pause it")
    return rate


def _step_text(step: BandwidthStep) -> str:
    rate = "off" if step.limit_bytes_s is None else format_size(step.limit_bytes_s)
    return f"{step.minute_of_day // 60:02}:{step.minute_of_day % 60:02},{rate}"
