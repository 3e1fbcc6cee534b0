"""Writer options as text."""

from pathlib import Path

import pytest
from attrs import fields

from agent.simulate.options import WriterOptions
from agent.simulate.profiles import PROFILES
from agent.simulate.settings import BadSetting, described, spelled, with_settings


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("write=1MiB", "write_bytes", 1 << 20),
        ("edit-rate=50MB", "edit_rate_bytes_s", 50_000_000),
        ("hold=1m30s", "hold_s", 90.0),
        ("pause-at=25%,0.5", "pause_at", (0.25, 0.5)),
        ("pause-at=", "pause_at", ()),
        ("crash-at=100%", "crash_at", 1.0),
        ("copies=yes", "copies", True),
        ("pause-closed=no", "pause_closed", False),
        ("ways=8", "ways", 8),
        ("order=tail-first", "order", "tail-first"),
        ("set-mtime=start,end", "set_mtime", ("start", "end")),
        ("temp-name=.{name}.{random}", "temp_name", ".{name}.{random}"),
        ("members=_v1,_a1", "members", ("_v1", "_a1")),
        ("patch-list=0+6144,1MB+4KiB", "patch_list", ((0, 6144), (1_000_000, 4096))),
    ],
)
def test_a_setting_changes_one_option(text: str, name: str, value: object) -> None:
    changed = with_settings(WriterOptions(), [text])
    assert getattr(changed, name) == value
    others = [field.name for field in fields(WriterOptions) if field.name != name]
    assert all(getattr(changed, other) == getattr(WriterOptions(), other) for other in others)


def test_the_last_of_two_settings_holds() -> None:
    assert with_settings(WriterOptions(), ["hold=1s", "hold=2s"]).hold_s == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hold", "'hold' must be NAME=VALUE"),
        ("holdd=3", r"unknown setting 'holdd' \(did you mean 'hold'\?\)"),
        ("zzzzz=3", r"unknown setting 'zzzzz' \(see --list-settings\)"),
        ("hold=soon", "'hold': must be a duration"),
        ("write=much", "'write': must be a size"),
        ("order=sideways", "'order': must be one of forward, interleaved, tail-first, random"),
        ("copies=maybe", "'copies': must be one of yes, no"),
        ("crash-at=120%", "'crash-at': must be a part of the whole"),
        ("crash-at=late", "'crash-at': must be a part of the whole"),
        ("ways=many", "'ways': invalid literal"),
        ("patch-list=7", "'patch-list': must be a size"),
    ],
)
def test_a_bad_setting_is_refused_with_its_name_and_the_reason(text: str, reason: str) -> None:
    with pytest.raises(BadSetting, match=reason):
        with_settings(WriterOptions(), [text])


def test_every_option_has_its_own_setting_with_a_meaning() -> None:
    names = [spelled(field) for field in fields(WriterOptions)]
    assert len(set(names)) == len(names)
    assert [name for name, _, _ in described()] == names
    assert all(meaning for _, _, meaning in described())


def test_defaults_are_printed_in_the_form_that_sets_them() -> None:
    defaults = {name: default for name, default, _ in described()}
    assert (defaults["write"], defaults["pause"], defaults["copies"], defaults["crash-at"]) == (
        "256KiB",
        "8s",
        "no",
        "never",
    )
    readable = [f"{name}={default}" for name, default in defaults.items() if default not in ("", "never")]
    assert with_settings(WriterOptions(), readable) == WriterOptions()


def test_the_manual_names_every_profile_and_every_setting_as_they_are() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
    for profile in PROFILES.values():
        assert f"| `{profile.name}` | {profile.models} | `{profile.container}` |\n" in manual
    for name, default, meaning in described():
        assert f"| `{name}` | {f'`{default}`' if default else ''} | {meaning} |\n" in manual
