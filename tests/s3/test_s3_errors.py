"""Errors of an S3 service are mapped to the right fault, with a clear message."""

import errno
import ssl

import pytest
from botocore import exceptions as boto
from urllib3 import exceptions as http
from urllib3.connection import HTTPConnection

from agent.model.errors import Fault, FaultKind, OutageReason
from agent.worker.destinations.s3.errors import ObjectMissing, is_retryable, map_error

SECRET = "AKIDNOBODY"  # noqa: S105  no secret: what a service might repeat of one


def answered(code: str, status: int = 400, message: str | None = "") -> boto.ClientError:
    answer = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return boto.ClientError(answer, "PutObject")  # type: ignore[arg-type]  # as much as is looked at


def over_tls(error: ssl.SSLError) -> boto.SSLError:
    return boto.SSLError(endpoint_url="https://127.0.0.1", error=http.SSLError(error))


OUTAGES = [
    (answered("AccessDenied", 403), OutageReason.DENIED),
    (answered("403", 403), OutageReason.DENIED),
    (answered("InvalidAccessKeyId", 403), OutageReason.DENIED),
    (answered("SignatureDoesNotMatch", 403), OutageReason.DENIED),
    (answered("ExpiredToken"), OutageReason.DENIED),
    (answered("RequestTimeTooSkewed", 403), OutageReason.DENIED),
    (answered("PermanentRedirect", 301), OutageReason.DENIED),
    (answered("NoSuchBucket", 404), OutageReason.UNMOUNTED),
    (answered("QuotaExceeded", 403), OutageReason.FULL),
    (answered("SlowDown", 503), OutageReason.UNREACHABLE),
    (answered("InternalError", 500), OutageReason.IO_ERROR),
    (answered("SomethingNew", 418), OutageReason.IO_ERROR),
    (boto.NoCredentialsError(), OutageReason.DENIED),
    (boto.ReadTimeoutError(endpoint_url="http://127.0.0.1"), OutageReason.HUNG),
    (boto.EndpointConnectionError(endpoint_url="http://127.0.0.1"), OutageReason.UNREACHABLE),
    (over_tls(ssl.SSLEOFError(8, "EOF occurred in violation of protocol")), OutageReason.UNREACHABLE),
    (http.ProtocolError("broken"), OutageReason.UNREACHABLE),
    (ConnectionResetError(104, "Connection reset by peer"), OutageReason.UNREACHABLE),
]


@pytest.mark.parametrize(("error", "reason"), OUTAGES)
def test_an_error_of_the_whole_destination_is_an_outage(error: Exception, reason: OutageReason) -> None:
    fault = map_error(error, "put_object")
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.reason) == (FaultKind.DESTINATION, reason)


def no_socket() -> boto.EndpointConnectionError:
    """As urllib3 and botocore wrap it."""
    wrapped = http.NewConnectionError(HTTPConnection("127.0.0.1"), "Failed to establish a new connection")
    wrapped.__cause__ = OSError(errno.EMFILE, "Too many open files")
    return boto.EndpointConnectionError(endpoint_url="http://127.0.0.1", error=wrapped)


@pytest.mark.parametrize("error", [no_socket(), OSError(errno.EMFILE, "Too many open files")])
def test_a_machine_short_of_descriptors_is_no_outage_of_the_service(error: Exception) -> None:
    fault = map_error(error, "put_object")
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.SHORTAGE


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (answered("KeyTooLongError"), FaultKind.REFUSED),
        (answered("NotImplemented", 501), FaultKind.REFUSED),
        (boto.ParamValidationError(report="no"), FaultKind.REFUSED),
        (answered("BadDigest"), FaultKind.CORRUPT),
        (answered("InvalidPart"), FaultKind.CORRUPT),
    ],
)
def test_an_error_of_one_file_is_a_fault_of_that_file(error: Exception, kind: FaultKind) -> None:
    fault = map_error(error, "put_object")
    assert isinstance(fault, Fault)
    assert fault.kind is kind


def test_a_missing_object_and_a_taken_name_are_no_faults() -> None:
    assert isinstance(map_error(answered("NoSuchUpload", 404), "list_parts"), ObjectMissing)
    assert isinstance(map_error(answered("PreconditionFailed", 412), "put_object"), FileExistsError)


@pytest.mark.parametrize(
    ("error", "may_pass"),
    [
        (answered("SlowDown", 503), True),
        (answered("InternalError", 500), True),
        (answered("Unheard", 502), True),
        (boto.ConnectionClosedError(endpoint_url="http://127.0.0.1"), True),
        (over_tls(ssl.SSLEOFError(8, "EOF occurred in violation of protocol")), True),
        (over_tls(ssl.SSLCertVerificationError(1, "certificate verify failed")), False),
        (boto.EndpointConnectionError(endpoint_url="http://127.0.0.1"), False),
        (boto.ReadTimeoutError(endpoint_url="http://127.0.0.1"), False),
        (answered("AccessDenied", 403), False),
        (boto.NoCredentialsError(), False),
    ],
)
def test_only_errors_that_may_pass_are_retried(error: Exception, may_pass: bool) -> None:
    assert is_retryable(error) is may_pass


def test_no_message_of_a_denied_request_is_repeated() -> None:
    fault = map_error(answered("InvalidAccessKeyId", 403, f"the key {SECRET} is unknown"), "put_object")
    assert SECRET not in str(fault)
    assert "access key" in str(fault)


def test_an_error_without_a_message_is_not_quoted() -> None:
    assert "None" not in str(map_error(answered("InvalidPart", 400, None), "put_object"))


def test_a_message_stays_on_one_line() -> None:
    assert "\n" not in str(map_error(answered("Odd", 400, "two\nlines"), "put_object"))
