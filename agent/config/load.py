"""Loads the configuration: collects the values, structures and checks them. Nothing is created on the way.

Precedence: command line, environment, `.env` beside the file, file, default.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.config.checks import RouteWithOrigin, contradictions
from agent.config.raw import ConfigError
from agent.config.sections import Config, Route
from agent.config.sources import gather
from agent.config.structure import SECTIONS, strict_converter, structure


def load(path: str, environ: Mapping[str, str], overrides: Mapping[str, str] | None = None) -> Config:
    """The effective configuration.

    `environ` gives AGENT_<SECTION>__<KEY> and AGENT_ROUTE__<NAME>__<KEY>; for the only route
    AGENT_ROUTE__<KEY> is enough. `overrides`, from the command line, are written "web.bind",
    "route.mxf.stable" and "route.stable". Relative paths start from the file's folder, wherever they come
    from.

    Raises:
        ConfigError: with all faults that one pass can find.
    """
    file = os.path.normpath(Path(path).absolute())
    raw, reasons = gather(file, environ, overrides or {})
    converter = strict_converter(str(Path(file).parent))
    sections: dict[str, Any] = {
        name: structure(section, SECTIONS[name], converter, reasons) for name, section in raw.sections.items()
    }
    parsed = [(structure(section, Route, converter, reasons), section) for section in raw.routes]
    routes = [RouteWithOrigin(route, section) for route, section in parsed if route is not None]
    reasons += contradictions(file, raw.sections, sections, routes)
    if reasons:
        raise ConfigError(tuple(reasons))
    return Config(path=file, routes=tuple(one.route for one in routes), **sections)
