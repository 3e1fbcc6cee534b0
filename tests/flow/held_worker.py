"""A worker process whose copies wait behind their first window while the file in HOLD_FILE stands."""

import os
import time
from pathlib import Path

from agent.model.verification import BLOCK_BYTES
from agent.worker import server
from agent.worker.copy.pipeline import Window
from agent.worker.copy.reader import BlockReader

EVERY_S = 0.005


def main() -> None:
    hold = Path(os.environ["HOLD_FILE"])
    read = BlockReader.window

    def read_when_free(reader: BlockReader, first_block: int, size_bytes: int) -> Window:
        while 0 < first_block * BLOCK_BYTES < size_bytes and hold.exists():
            time.sleep(EVERY_S)
        return read(reader, first_block, size_bytes)

    BlockReader.window = read_when_free  # type: ignore[method-assign, assignment]
    server.main()


if __name__ == "__main__":
    main()
