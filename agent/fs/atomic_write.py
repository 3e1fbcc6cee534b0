"""Small files of the agent's own: replaced atomically, and removed."""

import os
from pathlib import Path

from agent.fs.platform import sync_file, sync_folder
from agent.fs.private_folder import FILE_MODE
from agent.fs.syscalls import closing_fd


def replace_file(path: str, content: str, *, durable: bool) -> None:
    """Write `<path>.new` and rename it to `path`, so that a reader sees the old content or all of the new.

    Only this user can read it. A symbolic link under either name is not followed.

    With `durable` the new content survives a power cut once this returns.

    Raises:
        OSError: the file cannot be written; the old content is kept.
    """
    draft = Path(f"{path}.new")
    with open(draft, "w", encoding="utf-8", opener=_open_private) as file:
        file.write(content)
        if durable:
            file.flush()
            sync_file(file.fileno())
    draft.rename(path)
    if durable:
        with closing_fd(os.open(draft.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as folder:
            sync_folder(folder)


def remove_file(path: str) -> None:
    """Raises: OSError: it does not exist, or cannot be removed."""
    os.unlink(path)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
