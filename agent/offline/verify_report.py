"""The report of `verify`: delivered files compared with their records in the journal."""

from datetime import datetime
from typing import assert_never

from attrs import asdict, define, field, frozen

from agent.config.units import parse_duration
from agent.model.text import size_text
from agent.model.transfer import DeliveredFile
from agent.protocol.replies import VerifyResult

EXIT_ALL_EQUAL = 0
EXIT_NOT_ALL = 1


@frozen
class Mismatch:
    """A file that differs from what was delivered, or cannot be read."""

    verdict: str
    destination_path: str
    route: str
    detail: str

    def __str__(self) -> str:
        return f"{self.verdict} {self.destination_path}{self.detail and f': {self.detail}'}"


@frozen
class DestinationError:
    """A destination that could not be read to the end; `files` is the number of those not read."""

    destination: str
    detail: str
    files: int

    def __str__(self) -> str:
        return f"{self.destination}: {self.detail}; {_files(self.files)} not read"


@define
class VerifyReport:
    """Counts so far; `cached` of the verified files were read from this machine's cache."""

    files: int = 0
    bytes: int = 0
    verified: int = 0
    altered: int = 0
    missing: int = 0
    unreadable: int = 0
    cached: int = 0
    problems: list[Mismatch] = field(factory=list)
    destinations_in_trouble: list[DestinationError] = field(factory=list)

    def add(self, record: DeliveredFile, checked: VerifyResult) -> Mismatch | None:
        """Count one file and return its mismatch; None: it is verified."""
        self._count(record)
        match checked.verdict:
            case "verified":
                self.verified += 1
                self.cached += checked.level == "read_back_cached"
                return None
            case "altered":
                self.altered += 1
            case "missing":
                self.missing += 1
            case "unreadable":
                self.unreadable += 1
            case _ as never:
                assert_never(never)
        problem = Mismatch(checked.verdict, record.destination_path, record.route, checked.detail)
        self.problems.append(problem)
        return problem

    def skip(self, record: DeliveredFile) -> None:
        """Count a file that was not read, because its destination could not be read."""
        self._count(record)
        self.unreadable += 1

    def stop(self, destination: str, detail: str, files: int) -> DestinationError:
        """Record a destination that could not be read to the end."""
        self.destinations_in_trouble.append(DestinationError(destination, detail, files))
        return self.destinations_in_trouble[-1]

    def _count(self, record: DeliveredFile) -> None:
        self.files += 1
        self.bytes += record.size_bytes

    @property
    def exit_code(self) -> int:
        return EXIT_ALL_EQUAL if self.verified == self.files else EXIT_NOT_ALL

    def summary(self) -> str:
        cached = f" ({self.cached} from this machine's cache)" if self.cached else ""
        return (
            f"{_files(self.files)}, {size_text(self.bytes)}: {self.verified} verified{cached}, "
            f"{self.altered} altered, {self.missing} missing, {self.unreadable} unreadable"
        )

    def body(self) -> dict[str, object]:
        """The report as a JSON object; sizes in bytes."""
        return asdict(self)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def since_at(text: str, now_at: float) -> float:
    """The wall time that "2026-01-31T12:00:00Z", or "24h" back from now, means. Raises: ValueError."""
    try:
        return now_at - parse_duration(text)
    except ValueError:
        pass
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise ValueError(
            'must be a time with its zone such as "2026-01-31T12:00:00Z", or a duration such as "24h"'
        )
    return when.timestamp()
