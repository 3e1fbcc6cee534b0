"""How fast may a copy go now? The route's bandwidth, by the time of day, shared by its copies."""

from attrs import frozen

from agent.config import BandwidthStep


@frozen
class Pace:
    """`steps`: the timetable of the route, empty for no limit; `shares`: among how many copies it is divided."""

    steps: tuple[BandwidthStep, ...] = ()
    shares: int = 1

    def limit_bytes_s(self, minute_of_day: int) -> float | None:
        """The limit that began last before this minute; before the first of the day, yesterday's last holds."""
        if not self.steps:
            return None
        past = [step for step in self.steps if step.minute_of_day <= minute_of_day]
        now = max(past or self.steps, key=lambda step: step.minute_of_day)
        return None if now.limit_bytes_s is None else now.limit_bytes_s / self.shares
