"""Commands to the running agent: pause, resume, retry, cancel, reload. Each prints what it did."""

import click

from agent.cli.base import EXIT_ERROR, exit_on_refusal, load_config, print_line, with_client, with_config
from agent.cli.client import Client, url_segment


@click.command()
@click.argument("route")
@with_client
def pause(client: Client, route: str) -> None:
    """Stop copying on a route until it is resumed."""
    print_line(client.post(f"/api/routes/{url_segment(route)}/pause"))


@click.command()
@click.argument("route")
@with_client
def resume(client: Client, route: str) -> None:
    """Resume copying on a paused route."""
    print_line(client.post(f"/api/routes/{url_segment(route)}/resume"))


@click.command()
@click.argument("path", required=False)
@click.option("--all", "all_failed", is_flag=True, help="Every failed file.")
@with_client
def retry(client: Client, path: str | None, *, all_failed: bool) -> None:
    """Try a failed file again, or the removal of a delivered file's source."""
    if all_failed == (path is not None):
        raise click.UsageError("name one PATH, or use --all")
    which = "/api/retry" if path is None else f"/api/files/{url_segment(client.find_file(path)['id'])}/retry"
    print_line(client.post(which))


@click.command()
@click.argument("path")
@with_client
def cancel(client: Client, path: str) -> None:
    """Stop the transfer of a file until the file changes or is retried."""
    print_line(client.post(f"/api/files/{url_segment(client.find_file(path)['id'])}/cancel"))


@click.command()
@with_config
def reload(path: str) -> None:
    """Read the configuration again. An invalid one is refused, and the old one stays in use."""
    client = Client.for_config(load_config(path, code=EXIT_ERROR))
    with exit_on_refusal():
        print_line(client.post("/api/reload"))
