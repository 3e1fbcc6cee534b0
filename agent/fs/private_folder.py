"""A folder of the agent's own: nobody else may read what is in it, or have prepared it."""

import os
import stat
from contextlib import suppress

from agent.fs.safe_open import open_root
from agent.fs.syscalls import closing_fd

FOLDER_MODE = 0o700
FILE_MODE = 0o600
_OTHERS = 0o077


class NotOurs(Exception):  # noqa: N818  a state of affairs, not a mistake
    """Somebody else may have prepared what is here; the text says what, and the way out."""


def protect(folder: str, prefixes: tuple[str, ...]) -> None:
    """Let nobody else into the folder, nor read its files whose names begin with one of `prefixes`.

    A file system without access rights keeps its own. What belongs to another user is left alone, and so is
    a symbolic link under such a name: it could make the agent overwrite what somebody else has chosen.

    Raises:
        NotOurs: the folder, or a file in it, is another user's, or no regular file.
        OSError: the folder cannot be read.
    """
    with closing_fd(open_root(folder)) as root:
        _require_owner(folder, os.fstat(root))
        _close_to_others(root, FOLDER_MODE)
        for name in sorted(os.listdir(root)):
            if name.startswith(prefixes):
                _protect_file(root, folder, name)


def _protect_file(root: int, folder: str, name: str) -> None:
    path = os.path.join(folder, name)
    found = os.stat(name, dir_fd=root, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "no regular file"
        raise NotOurs(f"{path!r} is {what}: remove it, or name another folder")
    _require_owner(path, found)
    if found.st_mode & _OTHERS:
        with closing_fd(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)) as file:
            _close_to_others(file, FILE_MODE)


def _require_owner(path: str, found: os.stat_result) -> None:
    user = os.geteuid()
    if found.st_uid != user:
        raise NotOurs(
            f"{path!r} belongs to the user with the number {found.st_uid}, and the agent runs as {user}: "
            "run it as that user, or name another folder"
        )


def _close_to_others(descriptor: int, mode: int) -> None:
    if os.fstat(descriptor).st_mode & _OTHERS:
        with suppress(PermissionError):  # a file system without access rights
            os.fchmod(descriptor, mode)
