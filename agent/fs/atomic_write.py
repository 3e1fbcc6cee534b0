"""Small files that are replaced as a whole."""

import os
from pathlib import Path

from agent.fs.descriptors import closing_fd
from agent.fs.platform import sync_folder


def replace_file(path: str, content: str, *, durable: bool) -> None:
    """Write it beside its name and move it there, so that a reader finds all of it or what was there before.

    `durable`: it survives a power cut when this returns.

    Raises:
        OSError: it cannot be written; what was there before stays.
    """
    draft = Path(f"{path}.new")
    with draft.open("w", encoding="utf-8") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    draft.rename(path)
    if durable:
        with closing_fd(os.open(draft.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as folder:
            sync_folder(folder)
