"""Commands to the running agent: pause, resume, retry, cancel, reload. Each prints what it did."""

import click

from agent.cli.base import EXIT_ERROR, configurable, effective, failing, say, talking
from agent.cli.client import Client, segment


@click.command()
@click.argument("route")
@talking
def pause(client: Client, route: str) -> None:
    """Stop copying on a route until it is resumed."""
    say(client.post(f"/api/routes/{segment(route)}/pause"))


@click.command()
@click.argument("route")
@talking
def resume(client: Client, route: str) -> None:
    """Go on with a paused route."""
    say(client.post(f"/api/routes/{segment(route)}/resume"))


@click.command()
@click.argument("path", required=False)
@click.option("--all", "all_failed", is_flag=True, help="Every failed file.")
@talking
def retry(client: Client, path: str | None, *, all_failed: bool) -> None:
    """Try a failed file again."""
    if all_failed == (path is not None):
        raise click.UsageError("name one PATH, or use --all")
    which = "/api/retry" if path is None else f"/api/files/{segment(client.file(path)['id'])}/retry"
    say(client.post(which))


@click.command()
@click.argument("path")
@talking
def cancel(client: Client, path: str) -> None:
    """Give a file up until it changes or is retried."""
    say(client.post(f"/api/files/{segment(client.file(path)['id'])}/cancel"))


@click.command()
@configurable
def reload(path: str) -> None:
    """Read the configuration again. An invalid one is refused, and the agent goes on as before."""
    client = Client.of(effective(path, code=EXIT_ERROR))
    with failing():
        say(client.post("/api/reload"))
