"""Where mounts are expected: fstab(5), systemd.mount(5), and the folders that are for mounts."""

from pathlib import Path

import pytest

from agent.fs import expected_mounts
from agent.fs.expected_mounts import expected_mount

FSTAB = rb"""# /etc/fstab
UUID=1 / ext4 errors=remount-ro 0 1
UUID=2 none swap sw 0 0
UUID=3 /home ext4 defaults 0 2

//nas/media /srv/nas cifs noauto 0 0
nas:/b /srv/nas/inner/ nfs defaults 0 0
nas:/c /srv/two\040words nfs defaults 0 0
lonely
#nas:/d /srv/commented nfs defaults 0 0
"""


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of systemd units on a machine with the fstab above."""
    (tmp_path / "fstab").write_bytes(FSTAB)
    (tmp_path / "units").mkdir()
    monkeypatch.setattr(expected_mounts, "FSTAB", str(tmp_path / "fstab"))
    folders = (str(tmp_path / "missing"), str(tmp_path / "units"))
    monkeypatch.setattr(expected_mounts, "UNIT_FOLDERS", folders)
    return tmp_path / "units"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/srv/nas", "/srv/nas"),
        ("/srv/nas/mxf", "/srv/nas"),
        ("/srv/nas/inner/mxf", "/srv/nas/inner"),
        ("/srv/two words/mxf", "/srv/two words"),
        ("/home/op/nas", "/home"),
        ("/mnt/nas", "/mnt"),
        ("/media/op/CARD", "/media"),
        ("/run/media/op/CARD", "/run/media"),
        ("/Volumes/NAS", "/Volumes"),
        ("/mnt", None),
        ("/srv/nasty", None),
        ("/srv/commented", None),
        ("/var/nas", None),
        ("/", None),
    ],
)
@pytest.mark.usefixtures("units")
def test_the_innermost_mount_that_is_expected_at_or_above_a_folder(path: str, expected: str | None) -> None:
    assert expected_mount(path) == expected


@pytest.mark.parametrize(
    ("unit", "path", "expected"),
    [
        ("srv-share.mount", "/srv/share/mxf", "/srv/share"),
        ("srv-share.automount", "/srv/share", "/srv/share"),
        (r"srv-my\x2dshare.mount", "/srv/my-share", "/srv/my-share"),
        (r"srv-\xc3\xa9.mount", "/srv/é/mxf", "/srv/é"),
        ("-.mount", "/srv/share", None),
        ("srv-share.service", "/srv/share", None),
    ],
)
def test_a_systemd_unit_names_a_mount(units: Path, unit: str, path: str, expected: str | None) -> None:
    (units / unit).touch()
    assert expected_mount(path) == expected


def test_a_masked_unit_mounts_nothing(units: Path) -> None:
    (units / "srv-share.mount").symlink_to("/dev/null")
    assert expected_mount("/srv/share") is None


def test_a_machine_without_fstab_and_systemd_expects_mounts_by_custom_alone(units: Path) -> None:
    (units.parent / "fstab").unlink()
    assert (expected_mount("/home/op"), expected_mount("/mnt/nas")) == (None, "/mnt")
