"""Configurations for tests, and the two outcomes of loading one."""

from pathlib import Path

import pytest

from agent.config.load import load
from agent.config.raw import ConfigError
from agent.config.sections import Config

ROUTE = '[[route]]\nname = "mxf"\nsource = "in"\ndestination = "out"\n'
MOV = '[[route]]\nname = "mov"\nsource = "in2"\ndestination = "out2"\n'


def routes(*pairs: tuple[str, str]) -> str:
    return "".join(
        f'[[route]]\nname = "{name}"\nsource = "{source}"\ndestination = "{destination}"\n'
        for name, (source, destination) in zip("abcde", pairs, strict=False)
    )


def config_of(
    folder: Path, text: str, environ: dict[str, str] | None = None, overrides: dict[str, str] | None = None
) -> Config:
    """The configuration loaded from `text` as agent.toml in this folder."""
    (folder / "agent.toml").write_text(text)
    return load(str(folder / "agent.toml"), environ or {}, overrides)


def reasons_of(
    folder: Path, text: str, environ: dict[str, str] | None = None, overrides: dict[str, str] | None = None
) -> list[str]:
    """The reasons why `text` is refused, without the file name that every one begins with."""
    with pytest.raises(ConfigError) as caught:
        config_of(folder, text, environ, overrides)
    assert str(caught.value) == "\n".join(caught.value.reasons)
    return [reason.removeprefix(f"{folder}/agent.toml: ") for reason in caught.value.reasons]
