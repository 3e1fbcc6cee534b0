"""Recordings by the real ffmpeg, at the speed of real time: not deterministic, but the genuine article."""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime

from attrs import define, field, frozen

from agent.simulate.journal import Line, stamp

PREFIX = "ffmpeg:"
_PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25")
_SOUND = ("-f", "lavfi", "-i", "anoisesrc=sample_rate=48000")
_LOOK_S = 0.05
_GRACE_S = 5.0


@frozen
class _Container:
    suffix: str
    arguments: tuple[str, ...]
    has_picture: bool = True


def _with(codecs: str, suffix: str, extra: str = "") -> _Container:
    return _Container(suffix, (*codecs.split(), *extra.split()))


_MPEG2 = "-c:v mpeg2video -c:a pcm_s16le"
_MPEG4 = "-c:v mpeg4 -c:a aac"
CONTAINERS = {
    "mxf": _with(_MPEG2, "mxf"),
    "mov": _with(_MPEG4, "mov"),
    "mp4": _with(_MPEG4, "mp4"),
    "mp4-faststart": _with(_MPEG4, "mp4", "-movflags +faststart"),
    "mp4-fragmented": _with(_MPEG4, "mp4", "-movflags +frag_keyframe+empty_moov"),
    "mkv": _with(_MPEG4, "mkv"),
    "avi": _with("-c:v mpeg4 -c:a pcm_s16le", "avi"),
    "ts": _with("-c:v mpeg2video -c:a mp2", "ts"),
    "wav": _Container("wav", ("-c:a", "pcm_s16le"), has_picture=False),
}


class RecordingFailed(Exception):  # noqa: N818  an answer, for people
    """ffmpeg is missing, or gave up; says why and what to do."""


@frozen
class Take:
    """One recording: a path relative to the folder, when it begins, and how long it lasts."""

    path: str
    start_s: float
    duration_s: float


@define
class _Running:
    take: Take
    process: "subprocess.Popen[bytes]"
    fd: int | None = None


@define
class Recorders:
    """Records several takes, each by a process of its own; `tell` hears of each beginning and each end."""

    folder: str
    container: str
    rate_bytes_s: int
    tell: Callable[[Line], None]
    paced: bool = True
    _running: list[_Running] = field(factory=list, init=False)

    def record(self, takes: list[Take]) -> None:
        """To the end of the last; however this ends, no process stays.

        Raises:
            Failed: there is no ffmpeg, or it gave up.
            OSError: what the file system says.
        """
        program = shutil.which("ffmpeg")
        if program is None:
            raise RecordingFailed(
                f"ffmpeg is not installed, and {PREFIX}{self.container} needs it: install it,"
                " or choose one of the simulator's own containers, which need nothing"
            )
        waiting, begin_s = sorted(takes, key=lambda take: take.start_s), time.monotonic()
        try:
            while waiting or self._running:
                while waiting and time.monotonic() >= begin_s + waiting[0].start_s:
                    self._start(program, waiting.pop(0))
                self._look()
                time.sleep(_LOOK_S)
        finally:
            self._stop()

    def _start(self, program: str, take: Take) -> None:
        target = os.path.join(self.folder, take.path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        command = [program, *self._arguments(take.duration_s), f"file:{target}"]
        process = subprocess.Popen(  # noqa: S603  our own words and a path
            command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        self._running.append(_Running(take, process))
        self.tell({"time": stamp(datetime.now(UTC)), "op": "create", "path": take.path})

    def _arguments(self, duration_s: float) -> list[str]:
        made = CONTAINERS[self.container]
        pace = ("-re",) if self.paced else ()
        picture = (*pace, *_PICTURE) if made.has_picture else ()
        limits = ("-t", f"{duration_s:.3f}", "-n")
        rate = ("-b:v", str(self.rate_bytes_s * 8)) if made.has_picture else ()
        return ["-nostdin", "-loglevel", "error", *picture, *pace, *_SOUND, *limits, *made.arguments, *rate]

    def _look(self) -> None:
        """Hold on to each file, for whoever watches the folder may take it away the moment it is closed."""
        for running in self._running.copy():
            ended = running.process.poll() is not None
            if running.fd is None:
                with contextlib.suppress(FileNotFoundError):
                    running.fd = os.open(os.path.join(self.folder, running.take.path), os.O_RDONLY)
            if ended:
                self._running.remove(running)
                self._end(running)

    def _end(self, running: _Running) -> None:
        _, said = running.process.communicate()
        if running.fd is None or running.process.returncode:
            if running.fd is not None:
                os.close(running.fd)
            reason = said.decode(errors="replace").strip().rpartition("\n")[2] or "it wrote no file"
            raise RecordingFailed(f"ffmpeg gave up on {running.take.path}: {reason}")
        closed = stamp(datetime.now(UTC))
        with os.fdopen(running.fd, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = os.fstat(file.fileno()).st_size
        self.tell({"time": closed, "op": "close", "path": running.take.path})
        self.tell({"time": closed, "op": "result", "path": running.take.path, "size": size, "sha256": digest})

    def _stop(self) -> None:
        for running in self._running:
            running.process.send_signal(signal.SIGINT)  # ffmpeg closes its file on it
        for running in self._running:
            try:
                running.process.communicate(timeout=_GRACE_S)
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.communicate()
            if running.fd is not None:
                os.close(running.fd)
        self._running.clear()
