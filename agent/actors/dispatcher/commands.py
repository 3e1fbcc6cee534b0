"""The answer to a command of the operator: what it will do, or why it does not apply."""

from collections.abc import Mapping
from typing import assert_never

from agent.actors.dispatcher.job import Job
from agent.actors.dispatcher.routes import RouteTable
from agent.actors.dispatcher.transitions import RETRIED_LATER, RUNNING, JobEvent, JobState, transition
from agent.messages.dispatcher import (
    ONLY_FAILED,
    Cancel,
    Command,
    CommandResult,
    PauseRoute,
    Refusal,
    ResumeRoute,
    Retry,
    RetryAll,
)


def result_of(command: Command, jobs: Mapping[str, Job], routes: RouteTable) -> CommandResult:
    """The result if the command is carried out right away, on these jobs and routes; it changes nothing."""
    match command:
        case PauseRoute(route) | ResumeRoute(route):
            if route not in routes:
                return CommandResult(f"no route is named {route!r}", Refusal.NOT_FOUND)
            return _pause(route, jobs) if isinstance(command, PauseRoute) else _resume(route, routes)
        case RetryAll():
            return _retry_all(jobs)
        case Retry(file_id) | Cancel(file_id):
            job = jobs.get(file_id)
            if job is None or job.state is JobState.ABORTING_TO_REMOVE:
                return CommandResult(f"no tracked file has the id {file_id!r}", Refusal.NOT_FOUND)
            return _retry(job) if isinstance(command, Retry) else _cancel(job)
        case _ as never:
            assert_never(never)


def retried_by_all(jobs: Mapping[str, Job]) -> list[Job]:
    """The failed files, those included whose last transfer is still being cleaned up; and the kept ones."""
    return [job for job in jobs.values() if not transition(job.state, JobEvent.RETRY).is_refused]


def _pause(route: str, jobs: Mapping[str, Job]) -> CommandResult:
    running = sum(job.route.name == route and job.state in RUNNING for job in jobs.values())
    return CommandResult(f"route {route} is paused; running copies being stopped: {running}")


def _resume(route: str, routes: RouteTable) -> CommandResult:
    done = "is resumed" if route in routes.paused else "was not paused"
    return CommandResult(f"route {route} {done}")


def _retry_all(jobs: Mapping[str, Job]) -> CommandResult:
    retried = retried_by_all(jobs)
    if not retried:
        return CommandResult("no file has failed: there is nothing to retry")
    kept = sum(job.state is JobState.KEPT for job in retried)
    removals = f"; delivered files whose source is to be removed: {kept}" if kept else ""
    return CommandResult(f"failed files queued again: {len(retried) - kept}{removals}")


def _retry(job: Job) -> CommandResult:
    path = job.file.path
    if transition(job.state, JobEvent.RETRY).is_refused:
        why = f"{path} is {job.status.value}: {ONLY_FAILED}"
        return CommandResult(why, Refusal.WRONG_STATE)
    if job.state in RETRIED_LATER:
        return CommandResult(f"{path} is queued again once its last transfer is cleaned up")
    if job.state is JobState.KEPT:
        return CommandResult(f"{path} is delivered; the removal of its source is queued again")
    return CommandResult(f"{path} is queued again")


def _cancel(job: Job) -> CommandResult:
    path = job.file.path
    if transition(job.state, JobEvent.CANCEL).is_refused:
        why = f"{path} is {job.status.value}: there is nothing to cancel"
        return CommandResult(why, Refusal.WRONG_STATE)
    if job.state in RUNNING:
        return CommandResult(f"the copy of {path} is being stopped")
    return CommandResult(f"{path} is cancelled")
