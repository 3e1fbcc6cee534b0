"""The verb that looks at what was delivered: verify."""

import json
import sys
import time

import click

from agent.cli.base import EXIT_ERROR, configurable, effective, fail, say
from agent.model.text import as_unicode


@click.command()
@click.option("--since", default="", help="Only what was delivered since: RFC 3339, or a duration ago (24h).")
@click.option("--route", default="", help="Only this route.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@configurable
def verify(path: str, *, since: str, route: str, as_json: bool) -> None:
    """Re-read delivered files and compare them with the recorded hashes. Exit 0: all equal."""
    config = effective(path)
    from agent.journal.database import JournalError  # noqa: PLC0415  likewise
    from agent.offline import verify  # noqa: PLC0415  a second of imports that the other verbs do without
    from agent.offline.verify_report import since_at  # noqa: PLC0415  likewise

    if route and route not in {each.name for each in config.routes}:
        raise click.BadParameter(f"no route is named {route!r}", param_hint="--route")
    try:
        earliest_at = since_at(since, time.time()) if since else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from error
    try:
        audit = verify.run(config, earliest_at, route or None, _nobody if as_json else say)
    except JournalError as error:
        fail(str(error), EXIT_ERROR)
    if as_json:
        click.echo(as_unicode(json.dumps(audit.body(), ensure_ascii=False)))
    else:
        say(audit.summary())
    sys.exit(audit.exit_code)


def _nobody(_: str) -> None:
    """A machine reads the whole at the end."""
