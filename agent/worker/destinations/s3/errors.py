"""Map the errors of boto3 and urllib3 to faults.

The message of a denied request is our own, because the service's may contain parts of the credentials.
"""

import ssl

from botocore import exceptions as boto
from urllib3 import exceptions as http

from agent.model.errors import Fault, FaultKind, OutageReason, shortage
from agent.model.text import on_one_line

DETAIL_CHARACTERS = 200


class ObjectMissing(Exception):  # noqa: N818  a regular response
    """There is no such object or upload."""


def upload_lost() -> Fault:
    """Return the fault for an upload that is gone: all parts have to be sent again."""
    return Fault(FaultKind.CORRUPT, "s3: the multipart upload has vanished from the destination")


_DENIED = {
    "AccessDenied": "the credentials do not allow it",
    "AllAccessDisabled": "the account is disabled",
    "AccountProblem": "the account is disabled",
    "InvalidAccessKeyId": "the service does not know this access key",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key, or the region is wrong",
    "ExpiredToken": "the session token has expired",
    "ExpiredTokenException": "the session token has expired",
    "RequestExpired": "the credentials have expired",
    "InvalidToken": "the session token is not valid",
    "InvalidClientTokenId": "the session token is not valid",
    "TokenRefreshRequired": "the session token has to be refreshed",
    "RequestTimeTooSkewed": "the clocks of this machine and of the service differ too much",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set s3.region",
    "IllegalLocationConstraintException": "the bucket is in another region: set s3.region",
    "PermanentRedirect": "the bucket is in another region: set s3.region",
    "TemporaryRedirect": "the bucket is in another region: set s3.region",
    "301": "the bucket is in another region: set s3.region",
    "307": "the bucket is in another region: set s3.region",
    "400": "the service refuses the request: expired credentials, or another region",
    "401": "the service does not accept the credentials",
    "403": "the credentials do not allow it",
}
_FULL = {
    "QuotaExceeded",
    "StorageQuotaExceeded",
    "InsufficientStorage",
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
    "507",
}
_REFUSED = {
    "EntityTooLarge",
    "InvalidObjectName",
    "InvalidURI",
    "KeyTooLong",
    "KeyTooLongError",
    "XMinioInvalidObjectName",
    "XMinioParentIsObject",
    "NotImplemented",
}
_CORRUPT = {
    "BadDigest",
    "InvalidDigest",
    "InvalidPart",
    "InvalidPartOrder",
    "IncompleteBody",
}
_MISSING = {"404", "NoSuchKey", "NoSuchUpload", "NoSuchVersion"}
_TAKEN = {"412", "PreconditionFailed"}
_BUSY = {
    "SlowDown",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequests",
    "BandwidthLimitExceeded",
    "429",
    "503",
}
_RETRYABLE = {
    *_BUSY,
    "InternalError",
    "OperationAborted",
    "ConditionalRequestConflict",
    "RequestTimeout",
    "500",
    "502",
    "504",
}
_RETRYABLE_STATUS = {429, 500, 502, 503, 504}
_TIMEOUTS = (boto.ConnectTimeoutError, boto.ReadTimeoutError, http.TimeoutError)
_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
    boto.ProfileNotFound,
    boto.ConfigParseError,
    boto.RefreshWithMFAUnsupportedError,
)
# Reading a response's body raises urllib3's own errors.
EXPECTED = (boto.BotoCoreError, boto.ClientError, http.HTTPError, OSError)


def is_retryable(error: Exception) -> bool:
    """Return whether the same request may succeed in a moment."""
    if isinstance(error, boto.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return code_of(error) in _RETRYABLE or status in _RETRYABLE_STATUS
    if isinstance(error, boto.SSLError):  # a broken connection is an SSLError too
        return not isinstance(_innermost(error), ssl.SSLCertVerificationError)
    return isinstance(error, boto.HTTPClientError | http.HTTPError) and not isinstance(error, _TIMEOUTS)


def code_of(error: boto.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def map_error(error: Exception, operation: str) -> Exception:
    """Return the exception to raise: a Fault, ObjectMissing, or FileExistsError for a taken name."""
    if isinstance(error, boto.ClientError):
        return _map_response(error, operation)
    if isinstance(error, _NO_CREDENTIALS):
        why = "no usable credentials are found in the usual AWS places"
        return Fault.outage(OutageReason.DENIED, f"s3: {why} ({type(error).__name__})")
    if isinstance(error, _TIMEOUTS):
        return Fault.outage(OutageReason.HUNG, f"s3: {operation}: no response in time")
    if isinstance(error, boto.ParamValidationError | boto.InvalidEndpointDiscoveryConfigurationError):
        return Fault(FaultKind.REFUSED, f"s3: {operation}: {type(error).__name__}")
    lacking = _shortage(error)
    return lacking or Fault.outage(OutageReason.UNREACHABLE, f"s3: {operation}: {_cause(error)}")


def _shortage(error: Exception) -> Fault | None:
    """This machine's own lack, which a library has wrapped in an error of the connection."""
    inner = _innermost(error)
    return shortage(inner) or (shortage(inner.__cause__) if inner.__cause__ is not None else None)


def _map_response(error: boto.ClientError, operation: str) -> Exception:
    code = code_of(error)
    text = f"s3: {operation}: {code}: {error.response.get('Error', {}).get('Message') or ''}"
    detail = on_one_line(text[:DETAIL_CHARACTERS])
    if code in _MISSING:
        return ObjectMissing(code)
    if code in _TAKEN:
        return FileExistsError(detail)
    if code in _DENIED:
        return Fault.outage(OutageReason.DENIED, f"s3: {_DENIED[code]} ({operation}: {code})")
    if code == "NoSuchBucket":
        return Fault.outage(OutageReason.UNMOUNTED, "s3: the bucket does not exist")
    return _fault(code, detail)


def _fault(code: str, detail: str) -> Fault:
    for codes, kind in ((_REFUSED, FaultKind.REFUSED), (_CORRUPT, FaultKind.CORRUPT)):
        if code in codes:
            return Fault(kind, detail)
    if code in _FULL:
        return Fault.outage(OutageReason.FULL, detail)
    busy = code in _BUSY or code == "RequestTimeout"
    return Fault.outage(OutageReason.UNREACHABLE if busy else OutageReason.IO_ERROR, detail)


def _cause(error: Exception) -> str:
    """Return the innermost reason; the outer errors contain addresses and queries."""
    inner = _innermost(error)
    if isinstance(inner, ssl.SSLCertVerificationError):
        return on_one_line(f"its certificate is not trusted: {inner.verify_message}")
    if isinstance(inner, FileNotFoundError):
        return "the file of trusted certificates (AWS_CA_BUNDLE) does not exist"
    words = getattr(inner, "strerror", None) or getattr(inner.__cause__, "strerror", None)
    return on_one_line(str(words or type(inner).__name__))


def _innermost(error: Exception) -> Exception:
    inner = getattr(error, "kwargs", {}).get("error", error)
    while isinstance(reason := _inner_error(inner), Exception):
        inner = reason
    return inner if isinstance(inner, Exception) else error


def _inner_error(error: Exception) -> object:
    """Return the wrapped error; an SSLError of urllib3 has it as its only argument."""
    return error.args[0] if type(error) is http.SSLError else getattr(error, "reason", None)
