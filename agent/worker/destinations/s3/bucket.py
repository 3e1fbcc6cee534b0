"""Requests to one bucket of an S3 service, with retries and time limits."""

import base64
import mimetypes
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import unquote_plus

from attrs import define, evolve

from agent.model.errors import Fault, FaultKind, OutageReason
from agent.model.storage import S3Access
from agent.worker.copy.threads import heartbeat
from agent.worker.destinations.base import Beat
from agent.worker.destinations.s3 import errors
from agent.worker.destinations.s3.client import connect
from agent.worker.destinations.s3.errors import ObjectMissing
from agent.worker.destinations.s3.request_body import RequestBody, md5_of

TRIES = 4
FIRST_RETRY_WAIT_S = 0.25
KEY_BYTES = 1024  # S3's own limit
READ_BYTES = 128 * 1024
COMPLETE_S = 600.0  # a service may take minutes to assemble a large object
BEAT_S = 0.25
OWNER_TAG = "transfer-agent"  # the metadata key for the fingerprint of the partial that an object was

Response = dict[str, Any]


@define
class S3Bucket:
    """`prefix` is empty or ends with a slash. `beat` is called while bytes move, from any thread."""

    access: S3Access
    name: str
    prefix: str
    beat: Beat

    @classmethod
    def at(cls, url: str, access: S3Access, beat: Beat) -> "S3Bucket":
        """Return the bucket of the URL s3://bucket/prefix."""
        name, _, prefix = url.removeprefix("s3://").partition("/")
        prefix = prefix.rstrip("/")
        return cls(access, name, f"{prefix}/" if prefix else "", beat)

    def key(self, path: str) -> str:
        """Return the object key of this path.

        Raises:
            Fault: REFUSED: the path is no valid key.
        """
        key = self.prefix + path
        try:
            length = len(key.encode())
        except UnicodeEncodeError:
            why = "an object's name has to be UTF-8, and this one is not"
            raise Fault(FaultKind.REFUSED, f"s3: {why}") from None
        if length > KEY_BYTES:
            raise Fault(FaultKind.REFUSED, f"s3: the name is longer than {KEY_BYTES} bytes")
        return key

    def call(
        self,
        operation: str,
        *,
        tries: int = TRIES,
        body: Sequence[bytes] | None = None,
        **values: Any,  # noqa: ANN401  boto3's own
    ) -> Response:
        """Send one request and return the response; it is tried `tries` times while errors are retryable.

        Raises:
            Fault: DESTINATION, REFUSED or CORRUPT.
            ObjectMissing: there is no such object or upload.
            FileExistsError: the name is taken.
        """
        for attempt in range(tries):
            if body is not None:
                values["Body"] = RequestBody(body, self.beat)
            try:
                client = connect(self.access)
                self.beat()  # the first client of a process takes a while
                response: Response = getattr(client, operation)(Bucket=self.name, **values)
            except errors.EXPECTED as error:
                if attempt + 1 < tries and errors.is_retryable(error):
                    _wait_before_retry(attempt)
                    continue
                raise self._mapped(error, operation) from None  # the original may carry credentials
            self.beat()
            return response
        raise AssertionError  # pragma: no cover  the last try returns or raises

    def head(self, key: str) -> Response | None:
        """Return the object's metadata; None when there is no such object. Raises as `call`."""
        try:
            return self.call("head_object", Key=key)
        except ObjectMissing:
            return None

    def put(self, key: str, blocks: Sequence[bytes], fingerprint: str) -> Response:
        """Create an object in one request if the key is free, and return the response.

        Raises as `send`; also Fault: REFUSED: the service does not accept the name.
        """
        try:
            return self.send("put_object", blocks, Key=key, IfNoneMatch="*", **_metadata(key, fingerprint))
        except ObjectMissing:
            raise Fault(FaultKind.REFUSED, "s3: the service takes no object of this name") from None

    def send(self, operation: str, blocks: Sequence[bytes], **values: Any) -> Response:  # noqa: ANN401  boto3's own
        """Send a request with a body and return the response; it is sent once more if it arrives altered.

        Raises as `call`; also Fault: CORRUPT: the body arrived altered twice.
        """
        digest = md5_of(blocks)
        size_bytes = sum(map(len, blocks))
        values |= {"ContentLength": size_bytes, "ContentMD5": base64.b64encode(digest.digest()).decode()}
        for _ in range(2):
            try:
                response = self.call(operation, body=blocks, **values)
            except Fault as fault:
                if fault.kind is not FaultKind.CORRUPT:
                    raise
                continue
            if etag_in(response) == digest.hexdigest() or _has_opaque_etag(response):
                return response
        raise Fault(FaultKind.CORRUPT, f"s3: {operation}: {size_bytes} bytes arrived altered, twice")

    def read(self, key: str, etag: str, offset: int) -> Iterator[bytes]:
        """Yield the object's content from this offset on, while its ETag is still `etag`.

        Raises as `call`.
        """
        response = self.call("get_object", Key=key, Range=f"bytes={offset}-", IfMatch=etag)
        with closing(response["Body"]) as body:
            while True:
                try:
                    data: bytes = body.read(READ_BYTES)
                except errors.EXPECTED as error:
                    raise self._mapped(error, "get_object") from None
                if not data:
                    return
                self.beat()
                yield data

    def create_upload(self, key: str, fingerprint: str) -> str:
        """Create an upload and return its id.

        It is tried once, because a lost response leaves an upload behind. Raises as `call`.
        """
        response = self.call("create_multipart_upload", tries=1, Key=key, **_metadata(key, fingerprint))
        return str(response["UploadId"])

    def complete_upload(self, key: str, upload_id: str, parts: Sequence[tuple[int, str]]) -> Response:
        """Create the object from these parts (number, ETag) if the key is free; return the response.

        Raises as `call`.
        """
        patient = evolve(self, access=evolve(self.access, timeout_s=max(self.access.timeout_s, COMPLETE_S)))
        chosen = [{"PartNumber": number, "ETag": etag} for number, etag in parts]
        with heartbeat(self.beat, BEAT_S):
            return patient.call(
                "complete_multipart_upload",
                Key=key,
                UploadId=upload_id,
                MultipartUpload={"Parts": chosen},
                IfNoneMatch="*",
            )

    def abort_upload(self, key: str, upload_id: str) -> None:
        """Remove the upload if it exists, and parts that arrive meanwhile. Raises as `call`."""
        try:
            for _ in range(TRIES):
                self.call("abort_multipart_upload", Key=key, UploadId=upload_id)
                self.call("list_parts", Key=key, UploadId=upload_id, MaxParts=1)
        except ObjectMissing:
            return

    def list_parts(self, key: str, upload_id: str) -> dict[int, tuple[int, str]]:
        """Return the size (bytes) and ETag of each stored part, by number. Raises as `call`."""
        found: dict[int, tuple[int, str]] = {}
        marker = 0
        while True:
            page = self.call("list_parts", Key=key, UploadId=upload_id, PartNumberMarker=marker)
            for part in page.get("Parts", ()):
                found[part["PartNumber"]] = (part["Size"], part["ETag"].strip('"'))
            if not page.get("IsTruncated") or page.get("NextPartNumberMarker", 0) <= marker:
                return found
            marker = page["NextPartNumberMarker"]

    def list_uploads(self, key: str) -> list[str]:
        """Return the ids of all uploads to exactly this key, foreign ones too. Raises as `call`."""
        found: list[str] = []
        markers: dict[str, Any] = {}
        while True:
            try:
                page = self.call("list_multipart_uploads", Prefix=key, EncodingType="url", **markers)
            except ObjectMissing:  # some services answer so for a bucket without uploads
                return found
            is_encoded = page.get("EncodingType") == "url"
            found += (
                each["UploadId"]
                for each in page.get("Uploads", ())
                if (unquote_plus(each["Key"]) if is_encoded else each["Key"]) == key
            )
            after = {"KeyMarker": page.get("NextKeyMarker"), "UploadIdMarker": page.get("NextUploadIdMarker")}
            if not page.get("IsTruncated") or not after["KeyMarker"] or after == markers:
                return found
            markers = {name: str(value) for name, value in after.items() if value}

    def _mapped(self, error: Exception, operation: str) -> Exception:
        mapped = errors.map_error(error, operation)
        if isinstance(mapped, Fault) and mapped.reason is OutageReason.DENIED:
            connect.cache_clear()  # the next client loads the credentials again
        return mapped


def owner_tag_in(response: Response) -> str:
    """Return the fingerprint in an object's metadata; some services change the case of its key."""
    return next(
        (text for name, text in response.get("Metadata", {}).items() if name.lower() == OWNER_TAG), ""
    )


def etag_in(response: Response) -> str:
    return str(response.get("ETag", "")).strip('"')


def identity_in(response: Response, size_bytes: int) -> str:
    """Return the identity of the object that a response is about: its ETag, version and size in bytes."""
    return f"{etag_in(response)} {response.get('VersionId', 'null')} {size_bytes}"


def _metadata(key: str, fingerprint: str) -> dict[str, Any]:
    """Return the metadata and content type with which an object is created."""
    kind, _ = mimetypes.guess_type(key, strict=False)
    return {"Metadata": {OWNER_TAG: fingerprint}, "ContentType": kind or "application/octet-stream"}


def _has_opaque_etag(response: Response) -> bool:
    """Return whether the ETag is no MD5, as that of an object encrypted with its own keys."""
    kind = str(response.get("ServerSideEncryption", ""))
    return kind.startswith("aws:kms") or "SSECustomerAlgorithm" in response


def _wait_before_retry(attempt: int) -> None:
    time.sleep(FIRST_RETRY_WAIT_S * 2**attempt * random.uniform(0.5, 1.0))  # noqa: S311  jitter, no secret
