"""A worker uses CAP_LEASE where it is permitted, and asks for nothing else."""

import errno
import os
import subprocess
import sys

import pytest

from agent.fs import capabilities
from tests.worker.copy.faulty import failing

CAP_LEASE = 1 << capabilities.CAP_LEASE
DROP_AND_PREPARE = """
import ctypes
from agent.fs import capabilities, platform

header, words = capabilities._Header(capabilities._VERSION_3, 0), (capabilities._Word * 2)()
capabilities._capget(ctypes.byref(header), words)
words[0].effective = words[1].effective = 0
capabilities._capset(ctypes.byref(header), words)
platform.prepare_process()
capabilities._capget(ctypes.byref(header), words)
print(words[0].effective, words[1].effective)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to drop")
@pytest.mark.parametrize(("bounding_set", "effective"), [("+all", CAP_LEASE), ("-lease", 0)])
def test_of_all_that_is_permitted_cap_lease_alone_becomes_effective(
    bounding_set: str, effective: int
) -> None:
    command = ["setpriv", f"--bounding-set={bounding_set}", sys.executable, "-c", DROP_AND_PREPARE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == ([str(effective), "0"], "")


@pytest.mark.parametrize("call", ["_capget", "_capset"])
def test_where_the_system_refuses_nothing_changes(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, call, failing(errno.EPERM))
    capabilities.use(capabilities.CAP_LEASE)
