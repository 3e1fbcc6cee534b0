"""What visitors are told instead of an answer."""


class Unavailable(Exception):  # noqa: N818  an answer, not a mistake
    """The house could not take the visitor within `PATIENCE_S`, or not write it down: come back soon."""


class NotFound(LookupError):  # noqa: N818  an answer, not a mistake
    """No such file, route or job."""


class Conflict(Exception):  # noqa: N818  an answer, not a mistake
    """What it is meant for is in a state that the command does not apply to."""


class InvalidConfig(ValueError):  # noqa: N818  an answer, not a mistake
    """The configuration is invalid; `reasons` has one line per fault."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


class InvalidRequest(ValueError):  # noqa: N818  an answer, not a mistake
    """What was asked for cannot be done as it was said; the text names what is wrong, and the way out."""


class StorageTimeout(Exception):  # noqa: N818  an answer, not a mistake
    """A storage that has to be asked first does not answer just now."""
