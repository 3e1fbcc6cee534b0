from agent.journal.client import CALM_S, JournalHealth


def test_trouble_is_reported_once_with_its_first_error() -> None:
    trouble = JournalHealth()
    assert trouble.failed("disk is full", 1.0)
    assert not trouble.failed("rolled back", 2.0)
    assert trouble.error == "disk is full"


def test_a_journal_begins_without_trouble() -> None:
    assert JournalHealth().error is None


def test_a_write_without_trouble_is_not_reported() -> None:
    assert not JournalHealth().wrote(1.0)


def test_trouble_is_over_when_writes_have_succeeded_for_a_while() -> None:
    trouble = JournalHealth()
    trouble.failed("disk is full", 1.0)
    assert not trouble.wrote(2.0)
    trouble.failed("disk is full", 3.0)
    assert not trouble.wrote(3.0 + CALM_S - 0.1)
    assert str(trouble.error) == "disk is full"
    assert trouble.wrote(3.0 + CALM_S)
    assert trouble.failed("disk is full again", 100.0)
    assert str(trouble.error) == "disk is full again"
