"""Errors that a client gets instead of an answer."""


class Unavailable(Exception):  # noqa: N818  an answer, not a mistake
    """The agent did not take or answer a request in time, or the journal cannot be used: try again soon."""


class NotFound(LookupError):  # noqa: N818  an answer, not a mistake
    """No such file, route or job."""


class Conflict(Exception):  # noqa: N818  an answer, not a mistake
    """The file or job is in a state that the command does not apply to."""


class InvalidConfig(ValueError):  # noqa: N818  an answer, not a mistake
    """The configuration is invalid; `reasons` has one line per fault."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


class InvalidRequest(ValueError):  # noqa: N818  an answer, not a mistake
    """The request cannot be carried out; the text names what is wrong, and what to change."""


class StorageTimeout(Exception):  # noqa: N818  an answer, not a mistake
    """A storage that has to be asked first does not answer."""
