"""Hash a source, to tell whether it has the content that the journal knows."""

from collections.abc import Callable

import xxhash

from agent.fs import platform
from agent.fs.syscalls import closing_fd
from agent.model.errors import Side, classify
from agent.model.source_file import Signature
from agent.model.verification import BLOCK_BYTES
from agent.worker.copy.reader import read_exactly
from agent.worker.source.source_file import check_unchanged, open_source


def hash_source(root: str, path: str, signature: Signature, heartbeat: Callable[[], None]) -> bytes:
    """Return the xxh3_128 of a source that is the same before and after; on a share it is read from there.

    Raises:
        Fault: SOURCE, SOURCE_GONE, SOURCE_CHANGED or SOURCE_OUTAGE.
    """
    content = xxhash.xxh3_128()
    size_bytes = signature.size_bytes
    with closing_fd(open_source(root, path, signature)) as source:
        drop_stale_cache(source, size_bytes)
        for offset in range(0, size_bytes, BLOCK_BYTES):
            content.update(read_exactly(source, offset, min(BLOCK_BYTES, size_bytes - offset)))
            heartbeat()
        check_unchanged(root, path, source, signature)
    return content.digest()


def drop_stale_cache(source: int, size_bytes: int) -> None:
    """Drop what a share's client has cached of this source, since another machine may have written to it.

    Raises:
        Fault: SOURCE or SOURCE_OUTAGE.
    """
    try:
        if platform.is_network(source):
            platform.drop_cache(source, 0, size_bytes)
    except OSError as error:
        raise classify(error, Side.SOURCE) from error
