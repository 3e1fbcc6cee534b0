"""Routes and destinations that come and go while the house runs, beside those of the configuration."""

from agent.config import DestinationPlan, Route
from agent.messages import Forgotten, Halt, RouteClosed, RouteState
from agent.rules.gate import Gate
from agent.rules.jobs import Job, JobState
from agent.rules.lane import Lane
from agent.rules.roster import Roster

STOPPED = "stopped: its upload job has ended"


def open_lane(roster: Roster, plan: DestinationPlan) -> None:
    roster.lanes[plan.destination] = Lane(plan)


def close_lane(roster: Roster, destination: str) -> None:
    """None of its routes is left."""
    del roster.lanes[destination]


def open_route(roster: Roster, route: Route) -> None:
    """Its lane is open."""
    roster.routes[route.name] = route
    roster.gates[route.name] = Gate()
    roster.tell(RouteState(route.name, route.name in roster.paused))


def close_route(roster: Roster, name: str) -> None:
    """Its copies are halted; `see_off` says when the last of its jobs has left."""
    roster.closing.add(name)
    jobs = [job for job in roster.jobs.values() if job.route.name == name]
    running = tuple(job.file.id for job in jobs if job.state is JobState.RUNNING)
    for job in jobs:
        _end(roster, job)
    if running:
        roster.order(roster.routes[name].destination, Halt(running))


def see_off(roster: Roster) -> None:
    """Routes whose last job has left are gone."""
    if not roster.closing:
        return
    for name in sorted(roster.closing - {job.route.name for job in roster.jobs.values()}):
        roster.closing.discard(name)
        roster.paused.discard(name)
        del roster.routes[name], roster.gates[name]
        roster.tell(RouteClosed(name))


def _end(roster: Roster, job: Job) -> None:
    """A running one is put away when it returns, if it was not delivered after all."""
    job.cancelled, job.why_cancelled, job.successor, job.grows = True, STOPPED, None, False
    if job.state is JobState.FAILED or (not job.started and job.state is not JobState.PUTTING_AWAY):
        roster.leave(job)
        roster.tell(Forgotten((job.file.id,)))
    elif job.state not in (JobState.RUNNING, JobState.PUTTING_AWAY):
        roster.put_away(job, error=STOPPED)
