"""The bandwidth limit of a copy at a time of day."""

from agent.protocol.requests import Bandwidth


def limit_bytes_s(bandwidth: Bandwidth, minute_of_day: int) -> float | None:
    """This copy's share of the step that began last; before the first of the day, yesterday's last holds."""
    if not bandwidth.steps:
        return None
    past = [step for step in bandwidth.steps if step.minute_of_day <= minute_of_day]
    now = max(past or bandwidth.steps, key=lambda step: step.minute_of_day)
    return None if now.limit_bytes_s is None else now.limit_bytes_s / bandwidth.shares
