"""Routes and destinations that come and go while the house runs, beside those of the configuration."""

from agent.actors.dispatcher.destination_queue import DestinationQueue
from agent.actors.dispatcher.job import Job, JobState
from agent.actors.dispatcher.job_table import JobTable
from agent.actors.dispatcher.source_availability import SourceAvailability
from agent.config.sections import DestinationPlan, Route
from agent.messages.broadcaster import RouteRemoved, RouteState, Untracked
from agent.messages.copier_pool import CancelCopies

STOPPED = "stopped: its upload job has ended"


def add_destination(roster: JobTable, plan: DestinationPlan) -> None:
    roster.lanes[plan.destination] = DestinationQueue(plan)


def remove_destination(roster: JobTable, destination: str) -> None:
    """None of its routes is left."""
    del roster.lanes[destination]


def add_route(roster: JobTable, route: Route) -> None:
    """Its lane is open."""
    roster.routes[route.name] = route
    roster.gates[route.name] = SourceAvailability()
    roster.tell(RouteState(route.name, route.name in roster.paused))


def remove_route(roster: JobTable, name: str) -> None:
    """Its copies are halted; `reap_removed` says when the last of its jobs has left."""
    roster.closing.add(name)
    jobs = [job for job in roster.jobs.values() if job.route.name == name]
    running = tuple(job.file.id for job in jobs if job.state is JobState.RUNNING)
    for job in jobs:
        _end(roster, job)
    if running:
        roster.order(roster.routes[name].destination, CancelCopies(running))


def reap_removed(roster: JobTable) -> None:
    """Routes whose last job has left are gone."""
    if not roster.closing:
        return
    for name in sorted(roster.closing - {job.route.name for job in roster.jobs.values()}):
        roster.closing.discard(name)
        roster.paused.discard(name)
        del roster.routes[name], roster.gates[name]
        roster.tell(RouteRemoved(name))


def _end(roster: JobTable, job: Job) -> None:
    """A running one is put away when it returns, if it was not delivered after all."""
    job.cancelled, job.cancel_reason, job.successor, job.is_growing = True, STOPPED, None, False
    if job.state is JobState.FAILED or (not job.started and job.state is not JobState.ABORTING):
        roster.leave(job)
        roster.tell(Untracked((job.file.id,)))
    elif job.state not in (JobState.RUNNING, JobState.ABORTING):
        roster.put_away(job, error=STOPPED)
