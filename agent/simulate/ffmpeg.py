"""Recordings by the real ffmpeg in real time: playable files, but not the same bytes in every run."""

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

from agent.simulate.step_log import Line, stamp

PREFIX = "ffmpeg:"
_PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25")
_SOUND = ("-f", "lavfi", "-i", "anoisesrc=sample_rate=48000")
_POLL_S = 0.05
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


class RecordingFailed(Exception):  # noqa: N818  an answer for the user
    """ffmpeg is missing or failed; the text says why and what to do."""


@frozen
class PlannedRecording:
    """One recording: path relative to the folder, start and duration."""

    path: str
    start_s: float
    duration_s: float


@define
class _Running:
    recording: PlannedRecording
    process: "subprocess.Popen[bytes]"
    fd: int | None = None


@define
class FfmpegRecorder:
    """Makes recordings, each with its own ffmpeg process. Calls `report` when one starts and when it ends."""

    folder: str
    container: str
    rate_bytes_s: int
    report: Callable[[Line], None]
    paced: bool = True
    _running: list[_Running] = field(factory=list, init=False)

    def record(self, recordings: list[PlannedRecording]) -> None:
        """Make all recordings; no process is left running however this ends.

        Raises:
            RecordingFailed: ffmpeg is missing or failed.
            OSError: the file system's error.
        """
        program = shutil.which("ffmpeg")
        if program is None:
            raise RecordingFailed(
                f"ffmpeg is not installed, and {PREFIX}{self.container} needs it: install it,"
                " or choose one of the simulator's own containers, which need nothing"
            )
        waiting, begin_s = sorted(recordings, key=lambda recording: recording.start_s), time.monotonic()
        try:
            while waiting or self._running:
                while waiting and time.monotonic() >= begin_s + waiting[0].start_s:
                    self._start(program, waiting.pop(0))
                self._check()
                time.sleep(_POLL_S)
        finally:
            self._stop()

    def _start(self, program: str, recording: PlannedRecording) -> None:
        target = os.path.join(self.folder, recording.path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        command = [program, *self._arguments(recording.duration_s), f"file:{target}"]
        process = subprocess.Popen(  # noqa: S603  our own arguments and a path
            command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        self._running.append(_Running(recording, process))
        self.report({"time": stamp(datetime.now(UTC)), "op": "create", "path": recording.path})

    def _arguments(self, duration_s: float) -> list[str]:
        made = CONTAINERS[self.container]
        pace = ("-re",) if self.paced else ()
        picture = (*pace, *_PICTURE) if made.has_picture else ()
        limits = ("-t", f"{duration_s:.3f}", "-n")
        rate = ("-b:v", str(self.rate_bytes_s * 8)) if made.has_picture else ()
        return ["-nostdin", "-loglevel", "error", *picture, *pace, *_SOUND, *limits, *made.arguments, *rate]

    def _check(self) -> None:
        """Open each file early: the agent may move it away as soon as ffmpeg has closed it."""
        for running in self._running.copy():
            ended = running.process.poll() is not None
            if running.fd is None:
                with contextlib.suppress(FileNotFoundError):
                    running.fd = os.open(os.path.join(self.folder, running.recording.path), os.O_RDONLY)
            if ended:
                self._running.remove(running)
                self._end(running)

    def _end(self, running: _Running) -> None:
        _, stderr = running.process.communicate()
        if running.fd is None or running.process.returncode:
            if running.fd is not None:
                os.close(running.fd)
            reason = stderr.decode(errors="replace").strip().rpartition("\n")[2] or "it wrote no file"
            raise RecordingFailed(f"ffmpeg failed on {running.recording.path}: {reason}")
        closed = stamp(datetime.now(UTC))
        with os.fdopen(running.fd, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = os.fstat(file.fileno()).st_size
        self.report({"time": closed, "op": "close", "path": running.recording.path})
        self.report(
            {"time": closed, "op": "result", "path": running.recording.path, "size": size, "sha256": digest}
        )

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
