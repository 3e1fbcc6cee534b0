"""A worker process whose copies wait behind their first window while the file in HOLD_FILE stands."""

import os
import time
from pathlib import Path

from agent import worker
from agent.stores.copying import Engine, Window

EVERY_S = 0.005


def main() -> None:
    hold = Path(os.environ["HOLD_FILE"])
    read = Engine._read_window

    def read_when_free(engine: Engine, offset: int) -> Window:
        while offset and hold.exists():
            time.sleep(EVERY_S)
        return read(engine, offset)

    Engine._read_window = read_when_free  # type: ignore[method-assign, assignment]
    worker.main()


if __name__ == "__main__":
    main()
