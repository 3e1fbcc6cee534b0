"""How many files this process may have open; sockets and pipes count as files."""

import resource
from contextlib import suppress

MOST = 65_536
MOST_ON_MACOS = 10_240  # OPEN_MAX: setrlimit(2) refuses more, whatever the hard limit is


def raise_limit() -> int:
    """Raise the soft limit to the hard one, also for processes started later; the limit from then on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for most in (MOST, MOST_ON_MACOS):
        wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            break
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return MOST if soft == resource.RLIM_INFINITY else soft
