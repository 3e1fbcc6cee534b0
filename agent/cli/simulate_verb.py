"""The verb simulate: writes files the way recorders, encoders, FTP and SMB writers do."""

from collections.abc import Callable
from typing import Any

import click

from agent.config.units import parse_duration, parse_size

UNLIMITED = ("0", "unlimited")


class _Unit(click.ParamType[float]):
    """A size or a duration, as in the configuration."""

    def __init__(self, name: str, parse: Callable[[str], float]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401  as click's
        try:
            return self._parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


def _rate(text: str) -> int:
    return 0 if text in UNLIMITED else parse_size(text)


@click.command()
@click.argument("folder", required=False)
@click.option("--profile", default="mxf-op1a", show_default=True, help="The kind of writer; see --list.")
@click.option("--container", default="", help="The container, instead of the profile's own; see --list.")
@click.option("--size", type=_Unit("size", parse_size), help="Size of each file.  [default: 200MB]")
@click.option(
    "--duration",
    type=_Unit("duration", parse_duration),
    help="Duration of each recording, instead of --size.",
)
@click.option(
    "--rate",
    type=_Unit("rate", _rate),
    default="20MB",
    show_default=True,
    help='Bytes a second of each file; "unlimited" (or 0) never waits.',
)
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="How many files.")
@click.option(
    "--every",
    type=_Unit("duration", parse_duration),
    default="0s",
    help="Time between the starts of two files.  [default: all at once]",
)
@click.option("--seed", default=1, show_default=True, help="The same seed writes the same bytes.")
@click.option(
    "--name",
    default="clip",
    show_default=True,
    help="Name of the files without suffix; may begin with folders.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a setting of the writer; see --list-settings.",
)
@click.option("--quiet", is_flag=True, help="Leave the writes out of the step log.")
@click.option("--list", "list_profiles", is_flag=True, help="Show the profiles and the containers.")
@click.option("--list-settings", is_flag=True, help="Show the settings.")
def simulate(
    folder: str | None,
    *,
    list_profiles: bool,
    list_settings: bool,
    quiet: bool,
    **values: Any,  # noqa: ANN401  click's options
) -> None:
    """Write files into FOLDER the way recorders, encoders, FTP and SMB writers do.

    Each step is printed as a JSON line, and at the end the size and SHA-256 of each file. Existing files are
    never written to. Ctrl-C stops at once and leaves the files as they are.
    """
    from agent.cli import simulate_run  # noqa: PLC0415  slow to import, and other verbs do without

    if list_profiles:
        simulate_run.show_profiles()
    elif list_settings:
        simulate_run.show_settings()
    elif folder is None:
        raise click.UsageError("name the FOLDER to write into, or use --list")
    else:
        simulate_run.simulate(folder, quiet=quiet, **values)
