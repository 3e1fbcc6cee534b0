"""Source events on macOS: FSEvents through the watchfiles library."""

import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from agent.fs.platform import is_network
from agent.model.built_in_excludes import excludes_path

if sys.platform == "darwin":
    import watchfiles

    _POLL_MS = 100

    class FSEvents:
        """Implements `SourceEvents`; `burst_s` is how long events are collected before they are returned.

        `overflowed` stays 0 and `complete` stays True, because watchfiles does not report losses.
        """

        def __init__(self, root: str, burst_s: float = 0.05) -> None:
            self.active = False
            self.overflowed = 0
            self.complete = True
            self._root = os.path.realpath(root)  # events carry resolved paths
            self._burst_ms = int(burst_s * 1000)
            self._bursts: Iterator[set[tuple[watchfiles.Change, str]]] = iter(())
            self._pending: set[tuple[watchfiles.Change, str]] = set()

        def __enter__(self) -> Self:
            with suppress(OSError):
                if not is_network(self._root):
                    self._bursts = watchfiles.watch(
                        self._root,
                        watch_filter=None,
                        debounce=self._burst_ms,
                        step=self._burst_ms,
                        rust_timeout=_POLL_MS,
                        yield_on_timeout=True,
                    )
                    self._pending = next(self._bursts)  # watching starts with the first burst
                    self.active = True
            return self

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            self.active = False
            self._bursts = iter(())

        def wait(self, timeout_s: float | None) -> tuple[str, ...] | None:
            until_s = None if timeout_s is None else time.monotonic() + timeout_s
            while True:
                changed, self._pending = self._pending or self._next_burst(), set()
                if changed:
                    return self._relative({path for _, path in changed})
                if until_s is not None and time.monotonic() >= until_s:
                    return None

        def take_closed(self) -> dict[str, os.stat_result]:
            """Return nothing: FSEvents does not tell who has closed a file."""
            return {}

        def _next_burst(self) -> set[tuple[watchfiles.Change, str]]:
            if not self.active:
                time.sleep(_POLL_MS / 1000)
                return set()
            if not os.path.isdir(self._root):
                self.active = False
                return {(watchfiles.Change.deleted, self._root)}
            return next(self._bursts)

        def _relative(self, paths: set[str]) -> tuple[str, ...]:
            """Return no path when one is a folder: for a moved tree only its top folder is reported."""
            top = self._root.rstrip("/") + "/"
            if any(not path.startswith(top) for path in paths):
                return ()
            wanted = tuple(
                path for path in (each.removeprefix(top) for each in paths) if not excludes_path(path)
            )
            return () if any(_is_folder(top + path) for path in wanted) else wanted

    def _is_folder(path: str) -> bool:
        with suppress(OSError):
            return stat.S_ISDIR(os.lstat(path).st_mode)
        return False
