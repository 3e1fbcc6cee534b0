"""Verbs that read from the running agent: status, files, history, explain."""

import json
from typing import Any

import click

from agent.cli.base import print_line, with_client
from agent.cli.client import Client, tracked_file
from agent.model.text import size_text

as_json = click.option("--json", "as_json", is_flag=True, help="For machines.")


@click.command()
@as_json
@with_client
def status(client: Client, *, as_json: bool) -> None:
    """What the agent is doing."""
    answer = client.get("/api/status")
    routes = client.get("/api/routes")["routes"]
    if as_json:
        click.echo(json.dumps({**answer, "routes": routes}))
        return
    for route in routes:
        print_line(_route(route))
        for each in route["unreadable_folders"]:
            print_line(f"  cannot read folder {each['folder']}: {each['reason']}")
        for each in route["held"]:
            print_line(f"  {each['files']} held: {each['why']}")
    for file in answer.get("allInProgress") or filter(None, [answer["inProgress"]]):
        print_line(f"  {file['status']} {file['file']} {file['progressPercentage']} %")
    for file in answer["failedFiles"]:
        print_line(f"  Failed {file['file']}: {file['error']}")


@click.command()
@as_json
@with_client
def files(client: Client, *, as_json: bool) -> None:
    """The tracked files and the last completed ones."""
    found = client.files()
    if as_json:
        click.echo(json.dumps({"files": list(found)}))
        return
    for file in found:
        progress = f"{file['copy_progress']:5.1f} %"
        print_line(f"{file['status']:<10} {progress} {size_text(file['file_size']):>10}  {file['file_path']}")


@click.command()
@as_json
@click.option("--route", default="", help="Only this route.")
@click.option("--since", default="", help="Only what ended since this time (RFC 3339).")
@click.option("--limit", default=100, show_default=True)
@with_client
def history(client: Client, *, as_json: bool, route: str, since: str, limit: int) -> None:
    """Delivered and failed transfers, newest first."""
    query = {key: value for key, value in (("route", route), ("since", since)) if value}
    answer = client.get("/api/history", query | {"limit": str(limit)})
    if as_json:
        click.echo(json.dumps(answer))
        return
    for row in answer["history"]:
        failed = row["result"] == "failed"
        outcome = f": {row['error_message']}" if failed else f" -> {row['destination_path']}"
        print_line(f"{row['completed_at']} {row['result']:<9} {row['file_path']}{outcome}")


@click.command()
@click.argument("path")
@as_json
@with_client
def explain(client: Client, path: str, *, as_json: bool) -> None:
    """Why a file is, or is not, moving, which rule excludes it, or how its transfer ended."""
    found = client.explain(path)
    ended = [body["ended"] for body in found.values() if "ended" in body]
    if ended and not any("id" in body for body in found.values()):
        if as_json:
            click.echo(json.dumps({"ended": ended[0]}))
        else:
            print_line(_ended(ended[0]))
        return
    excluded = [each for body in found.values() for each in body.get("excluded", ())]
    if excluded and all("excluded" in body for body in found.values()):
        if as_json:
            click.echo(json.dumps({"excluded": excluded}))
            return
        for each in excluded:
            print_line(f"{each['file_path']}: not taken by route {each['route']}: {each['rule']}")
        return
    file = tracked_file(path, found)
    if as_json:
        click.echo(json.dumps(file))
        return
    until = f" (until {file['until']})" if file["until"] else ""
    print_line(f"{file['file_path']}: {file['status']}: {file['why']}{until}")
    if file["error_message"]:
        print_line(f"  last error: {file['error_message']}")
    if file["kept_because"]:
        print_line(f"  its source is still there: {file['kept_because']}")


def _ended(row: dict[str, Any]) -> str:
    file, at = row["file_path"], row["completed_at"]
    if row["result"] == "failed":
        return f"{file}: failed at {at}: {row['error_message']}"
    proof = f"{row['verified_level']}, {row['hash']}"
    where = f"{file}: delivered at {at} to {row['destination_path']}, verified by {proof}"
    if row["result"] == "delivered":
        return where
    return f"{where}; its source was kept" + (f": {row['error_message']}" if row["error_message"] else "")


def _route(route: dict[str, Any]) -> str:
    outage = route["outage"]
    state = f"outage: {outage['reason']} since {outage['since']}: {outage['detail']}" if outage else "ok"
    counts = ", ".join(f"{count} {name}" for name, count in route["counts"].items()) or "no files"
    return f"{route['name']}: {'paused, ' if route['paused'] else ''}{state}; {counts}"
