"""What a worker is asked about a folder that somebody names from outside."""

from attrs import frozen


@frozen
class FindFolder:
    """Is this absolute path a folder, and below one of `roots`? Answered by FolderFound."""

    path: str
    roots: tuple[str, ...]


@frozen
class FolderFound:
    """`path` is the folder's own, without symbolic links; `is_allowed`: it lies below one of the roots."""

    path: str
    is_allowed: bool
