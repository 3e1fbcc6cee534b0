"""Why the journal cannot be used; apart from the database, so that whoever catches them need not load it."""


class JournalError(Exception):
    """The journal cannot be used; the message is one line for people."""


class JournalRefused(JournalError):  # noqa: N818  a state of affairs, not a mistake
    """The journal may not be used, and waiting does not change that."""


class JournalNewer(JournalRefused):
    """The file was written by a version of the program that is newer than this one."""


class JournalDamaged(JournalError):  # noqa: N818  a state of affairs, not a mistake
    """The file is damaged, or not a journal of ours."""
