"""Source events: which files were touched, by the system's own means; the choice is made here alone."""

import sys

if sys.platform == "darwin":
    from agent.fs.fsevents import SourceEvents
else:
    from agent.fs.inotify import SourceEvents

__all__ = ["SourceEvents"]
