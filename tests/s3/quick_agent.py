"""The agent, whose upload jobs wait only a moment where they wait for seconds."""

from functools import partial

from agent.actors.upload_manager import actor as keeping
from agent.cli import main
from agent.config import uploads as jobs


def quicken() -> None:
    jobs.UploadRoute = partial(  # type: ignore[assignment, misc]
        jobs.UploadRoute, scan_s=0.2, probe_s=0.2, retry_delay_s=0.2
    )
    jobs.STABLE_S = 0.3
    jobs.STABLE_CLOSED_S = None  # type: ignore[assignment]
    keeping.WRITE_EVERY_S = 0.1
    keeping.RETRY_S = 0.1


if __name__ == "__main__":
    quicken()
    main()
