"""Files that grow go up part by part while they do, and are completed only when their end is proven."""

import signal
from pathlib import Path

from tests.s3.proxy import Proxy
from tests.s3.servers import PART_BYTES, TestBucket
from tests.s3.test_s3_kills import configure_agent
from tests.system.agents import TIMEOUT_S, Agent
from tests.system.test_growing_ffmpeg import a_picture, muxed, opened, recording
from tests.system.writers import GROWING

FFMPEG_STOPPED = 255  # its exit code after SIGINT; the file is finished all the same


def test_a_recording_by_ffmpeg_goes_up_while_it_grows_and_its_head_twice(
    agent: Agent, way: tuple[Proxy, TestBucket]
) -> None:
    proxy, bucket = way
    configure_agent(agent, bucket, **GROWING)
    picture = agent.home / "picture.ts"
    a_picture(picture)
    words = [*muxed(picture, "", seconds=TIMEOUT_S), "-c:a", "pcm_s16le"]
    agent.start()
    with recording(agent.source / "op1a.mxf", words) as recorder, opened(agent, "op1a.mxf") as file:
        agent.wait_until(lambda: proxy.count("upload_part") >= 2)
        assert recorder.poll() is None
        assert proxy.count("complete_multipart_upload") == 0
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait() == FFMPEG_STOPPED
        content = Path(f"/proc/self/fd/{file}").read_bytes()
        agent.wait_for("op1a.mxf", "Completed")
    assert bucket.objects() == {"op1a.mxf": content}
    assert bucket.uploads() == []
    parts = -(-len(content) // PART_BYTES)
    sent = {part: proxy.count("upload_part", part) for part in range(1, parts + 1)}
    assert sent == {1: 2, **dict.fromkeys(range(2, parts + 1), 1)}
