"""The columns that each thing the journal hands out is read from."""

from attrs import fields

from agent.stores.schema import history, transfers
from agent.terms import Settled, Transfer

TRANSFER = [transfers.c[each.name] for each in fields(Transfer) if each.name != "blocks"]
SETTLED = [history.c[each.name] for each in fields(Settled)]
CARRIED = ("route", "path", "file_path", "signature", "destination", "discovered_at", "started_at")
