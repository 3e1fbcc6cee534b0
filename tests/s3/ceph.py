"""A Ceph of one node, all of it in memory and on loopback; its gateway speaks TLS alone.

Of the Debian packages ceph-mon, ceph-osd and radosgw. Ready in about 15 s.
"""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import frozen

from tests.s3.servers import (
    ACCESS_KEY,
    EXIT_TIMEOUT_S,
    SECRET_KEY,
    Abilities,
    Server,
    free_port,
    program,
    self_made_certificate,
    wait_for,
)

CLUSTER = "5f1c9a52-0d0b-4a35-9a43-2c6f0a3d7c01"
DISK = "5f1c9a52-0d0b-4a35-9a43-2c6f0a3d7c02"
START_S = 120.0  # as patient as a busy machine needs
MONITOR, STORE, GATEWAY, ADMINISTRATOR = "mon.", "osd.0", "client.gateway", "client.admin"
CONFIG = f"""\
[global]
fsid = {CLUSTER}
mon_host = {{monitor}}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
keyring = {{folder}}/keyring
run_dir = {{folder}}
log_file = {{folder}}/$name.log
mon_data = {{folder}}/monitor
osd_data = {{folder}}/store
admin_socket =
osd_objectstore = memstore
memstore_device_bytes = 4G
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
mon_allow_pool_size_one = true
mon_data_avail_warn = 0
mon_data_avail_crit = 0
"""


@contextmanager
def a_ceph(folder: Path) -> Iterator[Server]:
    """In an empty folder."""
    certificate = self_made_certificate(folder)
    port = free_port()
    node = _Node(folder)
    with ExitStack() as running:
        node.configure(f"[v2:127.0.0.1:{free_port()}]")
        running.enter_context(node.daemon("ceph-mon", "-i", "a"))
        node.run("ceph", "osd", "new", DISK)
        node.run("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", DISK)
        running.enter_context(node.daemon("ceph-osd", "-i", "0"))
        keys = ["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY]
        node.run("radosgw-admin", "user", "create", "--uid", "tests", "--display-name", "tests", *keys)
        listens = f"beast ssl_endpoint=127.0.0.1:{port} ssl_certificate={certificate}"
        gateway = running.enter_context(node.daemon("radosgw", "-n", GATEWAY, f"--rgw-frontends={listens}"))
        wait_for(port, gateway, START_S)
        # Its 16.2 looks for no condition when an upload is completed.
        can = Abilities(refuses_taken_names=False)
        yield Server("ceph", f"https://127.0.0.1:{port}", can, certificate)


@frozen
class _Node:
    folder: Path

    def configure(self, monitor: str) -> None:
        """Its files, and a monitor that knows its own address and everybody's key."""
        text = CONFIG.format(folder=self.folder, monitor=monitor)
        (self.folder / "ceph.conf").write_text(text)
        (self.folder / "monitor").mkdir()
        (self.folder / "store").mkdir()
        keyring, plan = self.folder / "keyring", self.folder / "plan"
        everything = [word for part in ("mon", "osd", "mgr") for word in ("--cap", part, "allow *")]
        create = ["--create-keyring"]
        for name in (MONITOR, STORE, GATEWAY, ADMINISTRATOR):
            self.run("ceph-authtool", str(keyring), *create, "--gen-key", "-n", name, *everything)
            create = []
        self.run("monmaptool", "--create", "--fsid", CLUSTER, "--addv", "a", monitor, str(plan))
        self.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", str(plan), "--keyring", str(keyring))

    def run(self, *words: str) -> None:
        done = subprocess.run(
            self._command(*words), capture_output=True, text=True, check=False, timeout=START_S
        )
        assert done.returncode == 0, f"{words[0]}: {done.stderr}"

    @contextmanager
    def daemon(self, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen([*self._command(*words), "-f"], stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(EXIT_TIMEOUT_S)
            finally:
                process.kill()
                process.wait()

    def _command(self, name: str, *words: str) -> list[str]:
        return [program(name), "-c", str(self.folder / "ceph.conf"), *words]
