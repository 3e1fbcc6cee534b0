import pytest

from agent.model.transfer import DeliveredFile
from agent.offline.verify_report import VerifyReport, since_at
from agent.protocol.replies import VerifyResult

RECORD = DeliveredFile("mxf", "/nas", "/nas/a.mxf", 1024, "xxh128:" + "0" * 32)


def test_an_audit_of_nothing_finds_nothing_wrong() -> None:
    assert VerifyReport().exit_code == 0
    assert VerifyReport().summary() == "0 files, 0 B: 0 verified, 0 altered, 0 missing, 0 unreadable"


def test_each_verdict_is_counted_and_all_but_equality_is_reported_and_fails() -> None:
    report = VerifyReport()
    assert report.add(RECORD, VerifyResult("verified", "", "read_back")) is None
    assert report.exit_code == 0
    told = [
        report.add(RECORD, VerifyResult("altered", "size: 1 bytes instead of 1024")),
        report.add(RECORD, VerifyResult("missing")),
        report.add(RECORD, VerifyResult("unreadable", "Input/output error")),
    ]
    assert list(map(str, told)) == [
        "altered /nas/a.mxf: size: 1 bytes instead of 1024",
        "missing /nas/a.mxf",
        "unreadable /nas/a.mxf: Input/output error",
    ]
    assert report.exit_code == 1
    assert report.summary() == "4 files, 4.0 KiB: 1 verified, 1 altered, 1 missing, 1 unreadable"


def test_files_read_from_the_cache_are_counted() -> None:
    report = VerifyReport()
    report.add(RECORD, VerifyResult("verified", "", "read_back_cached"))
    assert report.exit_code == 0
    assert "1 verified (1 from this machine's cache), 0" in report.summary()


def test_files_that_were_not_examined_are_a_failure() -> None:
    report = VerifyReport()
    report.skip(RECORD)
    error = report.stop("/nas", "hung: no answer in 30 s", 1)
    assert str(error) == "/nas: hung: no answer in 30 s; 1 file not read"
    assert report.exit_code == 1
    assert report.summary().endswith("0 verified, 0 altered, 0 missing, 1 unreadable")


def test_the_json_report_has_the_same_figures() -> None:
    report = VerifyReport()
    report.add(RECORD, VerifyResult("missing"))
    report.stop("/nas2", "unmounted: gone", 0)
    assert report.body() == {
        "files": 1,
        "bytes": 1024,
        "verified": 0,
        "altered": 0,
        "missing": 1,
        "unreadable": 0,
        "cached": 0,
        "problems": [
            {"verdict": "missing", "destination_path": "/nas/a.mxf", "route": "mxf", "detail": ""},
        ],
        "destinations_in_trouble": [{"destination": "/nas2", "detail": "unmounted: gone", "files": 0}],
    }


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("24h", 100_000.0 - 86_400),
        ("90", 100_000.0 - 90),
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T01:01:00.5+01:00", 60.5),
    ],
)
def test_since_is_a_time_or_a_duration_ago(text: str, at: float) -> None:
    assert since_at(text, 100_000.0) == at


@pytest.mark.parametrize("text", ["yesterday", "1970-01-01T00:01:00", "", "-1h"])
def test_since_is_nothing_else(text: str) -> None:
    with pytest.raises(ValueError, match="must be a time with its zone"):
        since_at(text, 100_000.0)
