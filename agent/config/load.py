"""The configuration: `load` reads it, checks it and gives it out frozen; nothing is created on the way.

Precedence: command line, environment, `.env` beside the file, file, default.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.config.checks import RouteWithOrigin, contradictions
from agent.config.raw import ConfigError
from agent.config.sections import (
    Config,
    Route,
)
from agent.config.sources import gather
from agent.config.structure import SECTIONS, strict_converter, structure


def load(path: str, environ: Mapping[str, str], overrides: Mapping[str, str] | None = None) -> Config:
    """The effective configuration.

    `environ` gives AGENT_<SECTION>__<KEY> and AGENT_ROUTE__<NAME>__<KEY>; for the only route
    AGENT_ROUTE__<KEY> will do. `overrides`, from the command line, are written "web.bind",
    "route.mxf.stable" and "route.stable". Relative paths start from the file's folder, wherever they stand.

    Raises:
        ConfigError: with as many reasons as one pass can find.
    """
    file = os.path.normpath(Path(path).absolute())
    tables, reasons = gather(file, environ, overrides or {})
    converter = strict_converter(str(Path(file).parent))
    sections: dict[str, Any] = {
        name: structure(table, SECTIONS[name], converter, reasons) for name, table in tables.sections.items()
    }
    routes = [(structure(table, Route, converter, reasons), table) for table in tables.routes]
    placed = [RouteWithOrigin(route, table) for route, table in routes if route is not None]
    reasons += contradictions(file, tables.sections, sections, placed)
    if reasons:
        raise ConfigError(tuple(reasons))
    return Config(path=file, routes=tuple(one.route for one in placed), **sections)
