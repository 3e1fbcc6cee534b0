"""Recordings by the real ffmpeg, copied while it writes them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.system.agents import TIMEOUT_S, Agent
from tests.system.conftest import required
from tests.system.writers import GROWING, copied, sha256, wait_for_all

SECONDS = 8
# The real muxers, in real time; their input is encoded once before.
MUXERS = {
    "op1a.mxf": "",
    "plain.mov": "",
    "plain.mp4": "",
    "faststart.mp4": "-movflags +faststart",
    "fragmented.mp4": "-movflags +frag_keyframe+empty_moov",
    "plain.mkv": "",
    "plain.ts": "",
    "plain.avi": "",
}
# Eight tracks at a high rate: large enough to be copied while it grows.
SOUND = "-f lavfi -i anoisesrc=r=96000:d={seconds} -ac 8 -c:a pcm_s32le"


def ffmpeg(*words: str) -> list[str]:
    return [required("ffmpeg"), "-nostdin", "-v", "error", *words]


def a_picture(path: Path) -> None:
    """One second of noisy MPEG-2 at about 24 Mbit/s, with uncompressed sound."""
    picture = "-f lavfi -i testsrc2=s=640x360:r=25,noise=alls=60:allf=t -f lavfi -i anoisesrc=r=48000"
    coded = "-t 1 -c:v mpeg2video -g 12 -b:v 24M -minrate 24M -maxrate 24M -bufsize 2M -c:a mp2"
    subprocess.run(ffmpeg(*picture.split(), *coded.split(), str(path)), check=True)


@contextmanager
def recording(path: Path, words: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(ffmpeg("-re", *words, str(path))) as process:
        try:
            yield process
        finally:
            process.kill()


def muxed(picture: Path, options: str, seconds: float = SECONDS) -> list[str]:
    words = ["-stream_loop", "-1", "-i", str(picture), "-t", str(seconds), "-c:v", "copy", "-c:a", "copy"]
    return [*words, *options.split()]


def test_recordings_by_ffmpeg_in_every_container_arrive_byte_identical(agent: Agent) -> None:
    agent.configure(**GROWING | {"workers": len(MUXERS) + 1})
    picture = agent.home / "picture.ts"
    a_picture(picture)
    agent.start()
    with ExitStack() as stack:
        recorders = {}
        for name, options in MUXERS.items():
            words = muxed(picture, options)
            if name.endswith(("mxf", "avi")):
                words += ["-c:a", "pcm_s16le"]
            recorders[name] = stack.enter_context(recording(agent.source / name, words))
        sound = SOUND.format(seconds=SECONDS).split()
        recorders["sound.wav"] = stack.enter_context(recording(agent.source / "sound.wav", sound))
        files = {name: stack.enter_context(opened(agent, name)) for name in recorders}
        for recorder in recorders.values():
            assert recorder.wait(TIMEOUT_S) == 0
        expected = {name: sha256(Path(f"/proc/self/fd/{file}")) for name, file in files.items()}
        wait_for_all(agent, expected)
    assert agent.partials() == []
    copies = {name: copied(agent, name) for name in expected}
    assert [
        name for name, copy in copies.items() if copy["resumed_bytes"] + copy["patched_blocks"] == 0
    ] == []


@contextmanager
def opened(agent: Agent, name: str) -> Iterator[int]:
    """A descriptor through which a recording can be read after the agent has removed its name."""
    agent.wait_until((agent.source / name).exists)
    file = os.open(agent.source / name, os.O_RDONLY)
    try:
        yield file
    finally:
        os.close(file)
