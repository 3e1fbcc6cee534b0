"""What a journal that is lost at runtime must not take with it: the house still knows it."""

from attrs import define, field
from sqlalchemy import Connection, delete, insert

from agent.journal.database import JournalError, count_on
from agent.journal.schema import mounts, paused_routes, transfers


class TransferLost(JournalError):  # noqa: N818  a state of affairs, not a mistake
    """The transfer was in a journal that has been set aside: it begins again."""


@define
class CarriedState:
    """Transfers up to `lost_id` were in a file that was set aside; `newest_id` was handed out last."""

    newest_id: int = 0
    lost_id: int = 0
    paused: set[str] = field(factory=set)
    mount_points: dict[str, str] = field(factory=dict)

    def lose(self) -> None:
        """None of the transfers that somebody holds is known any more."""
        self.lost_id = self.newest_id

    def unknown(self, transfer_id: int) -> Exception:
        """What to raise: TransferLost, or LookupError: no running transfer has this id."""
        if transfer_id <= self.lost_id:
            return TransferLost("the journal was damaged and has been set aside: the transfer begins again")
        return LookupError(f"no running transfer has the id {transfer_id}")

    def carry_over(self, fresh: Connection) -> None:
        """Into a fresh journal: without its mounts, a folder under a mount that is gone would be filled."""
        if self.lost_id:
            count_on(fresh, transfers.name, self.lost_id)
        fresh.execute(delete(paused_routes))
        fresh.execute(delete(mounts))
        for route in self.paused:
            fresh.execute(insert(paused_routes).values(route=route))
        for place, mount_point in self.mount_points.items():
            fresh.execute(insert(mounts).values(destination=place, mount_point=mount_point))
