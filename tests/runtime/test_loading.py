"""What the agent loads at its start, and what it leaves for later or for its workers."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.coverage_environment import without_coverage

MIGRATIONS, S3 = {"alembic", "mako"}, {"boto3", "botocore", "urllib3"}
DATABASE = {"sqlalchemy", "sqlite3", "agent.journal.database"}
TRANSFERS = {"agent.actors.dispatcher", "agent.actors.copier_pool", "agent.protocol", "agent.worker_pool"}
WORKERS, SIMULATOR = {"agent.worker"}, {"agent.simulate", "agent.offline"}
ASKING = {"http.client", "ssl", "email", "dotenv"}
SERVICE = {"trio", "quart", "hypercorn", "prometheus_client", "structlog"}
NOT_FOR_WORKERS = {
    *("agent.messages", "agent.config", "agent.model.transfer", "agent.model.views", "logging", "trio"),
    *("agent.worker.source.containers", "agent.worker.source.events", "agent.worker.destinations.s3"),
}
LATER = DATABASE | MIGRATIONS | S3 | TRANSFERS | WORKERS | SIMULATOR


def loaded_by(code: str, *arguments: str) -> set[str]:
    """The modules that are loaded in a fresh process when this code has run."""
    program = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, env=without_coverage(), check=True
    )
    return set(done.stdout.decode().split())


@pytest.mark.parametrize(
    ("code", "needed", "unneeded"),
    [
        ("import agent.cli", "click", ASKING | SERVICE | LATER),
        ("import agent.runtime.main", "quart", LATER),
        ("import agent.runtime.generations", "sqlalchemy", MIGRATIONS | S3 | WORKERS | SIMULATOR),
        ("import agent.worker.server", "agent.protocol", NOT_FOR_WORKERS),
    ],
    ids=["the command line", "the page", "what moves files", "a worker"],
)
def test_only_what_is_needed_is_loaded(code: str, needed: str, unneeded: set[str]) -> None:
    loaded = loaded_by(code)
    assert needed in loaded
    assert not loaded & unneeded


def test_migrations_are_loaded_only_for_a_journal_that_needs_them(tmp_path: Path) -> None:
    code = "from agent.journal.journal import Journal\nJournal.open(sys.argv[1]).close()"
    assert "alembic" in loaded_by(code, str(tmp_path))
    assert not loaded_by(code, str(tmp_path)) & MIGRATIONS
