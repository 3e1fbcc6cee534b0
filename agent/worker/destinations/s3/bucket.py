"""One bucket of one S3 service: calls with limits on time and on patience."""

import base64
import mimetypes
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import unquote_plus

from attrs import define, evolve

from agent.model.errors import Fault, FaultKind, OutageReason
from agent.model.storage import S3Access
from agent.worker.copy.threads import heartbeat
from agent.worker.destinations.s3 import errors
from agent.worker.destinations.s3.client import connect
from agent.worker.destinations.s3.errors import ObjectMissing
from agent.worker.destinations.s3.request_body import RequestBody, md5_of

TRIES = 4
FIRST_WAIT_S = 0.25
KEY_BYTES = 1024  # S3's own limit
READ_BYTES = 128 * 1024
COMPLETE_S = 600.0  # a service may put large objects together for minutes
PULSE_S = 0.25
OWNER_TAG = "transfer-agent"  # the metadata key by which an object says which partial it was

Answer = dict[str, Any]
Alive = Callable[[], None]


@define
class S3Bucket:
    """`prefix` is empty or ends in a slash. `alive` is called while bytes move, from any thread."""

    access: S3Access
    name: str
    prefix: str
    alive: Alive

    @classmethod
    def at(cls, url: str, access: S3Access, alive: Alive) -> "S3Bucket":
        """The bucket of s3://bucket/prefix."""
        name, _, prefix = url.removeprefix("s3://").partition("/")
        prefix = prefix.rstrip("/")
        return cls(access, name, f"{prefix}/" if prefix else "", alive)

    def key(self, path: str) -> str:
        """Raises: Fault: REFUSED: a name that no key can hold."""
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
    ) -> Answer:
        """One request to the bucket, asked again for a while where that may help.

        Raises:
            Fault: DESTINATION, REFUSED or CORRUPT.
            Missing: there is no such object or upload.
            FileExistsError: the name is taken.
        """
        for again in range(tries):
            if body is not None:
                values["Body"] = RequestBody(body, self.alive)
            try:
                client = connect(self.access)
                self.alive()  # for the first time, that took a while
                answer: Answer = getattr(client, operation)(Bucket=self.name, **values)
            except errors.EXPECTED as error:
                if again + 1 < tries and errors.is_retryable(error):
                    _wait(again)
                    continue
                raise self._judged(error, operation) from None  # what it carries is for no log
            self.alive()
            return answer
        raise AssertionError  # pragma: no cover  the last try returns or raises

    def head(self, key: str) -> Answer | None:
        """None: there is no such object."""
        try:
            return self.call("head_object", Key=key)
        except ObjectMissing:
            return None

    def put(self, key: str, blocks: Sequence[bytes], mark: str) -> None:
        """A whole object where none was. Raises as `send`; Fault: REFUSED: the name is not to its liking."""
        try:
            self.send("put_object", blocks, Key=key, IfNoneMatch="*", **_description(key, mark))
        except ObjectMissing:
            raise Fault(FaultKind.REFUSED, "s3: the service takes no object of this name") from None

    def send(self, operation: str, blocks: Sequence[bytes], **values: Any) -> str:  # noqa: ANN401  boto3's own
        """A request with a body, sent once more if it arrives altered; the ETag that it got.

        Raises as `call`; Fault: CORRUPT: it arrived altered twice.
        """
        digest = md5_of(blocks)
        size_bytes = sum(map(len, blocks))
        values |= {"ContentLength": size_bytes, "ContentMD5": base64.b64encode(digest.digest()).decode()}
        for _ in range(2):
            try:
                answer = self.call(operation, body=blocks, **values)
            except Fault as fault:
                if fault.kind is not FaultKind.CORRUPT:
                    raise
                continue
            etag = str(answer.get("ETag", "")).strip('"')
            if etag == digest.hexdigest() or _is_opaque(answer):
                return etag
        raise Fault(FaultKind.CORRUPT, f"s3: {operation}: {size_bytes} bytes arrived altered, twice")

    def read(self, key: str, etag: str, offset: int) -> Iterator[bytes]:
        """The object from this offset on, piece by piece, as long as it is still the same.

        Raises as `call`.
        """
        answer = self.call("get_object", Key=key, Range=f"bytes={offset}-", IfMatch=etag)
        with closing(answer["Body"]) as body:
            while True:
                try:
                    data: bytes = body.read(READ_BYTES)
                except errors.EXPECTED as error:
                    raise self._judged(error, "get_object") from None
                if not data:
                    return
                self.alive()
                yield data

    def begin(self, key: str, mark: str) -> str:
        """A new upload's id; asked once, since a lost answer leaves one behind. Raises as `call`."""
        answer = self.call("create_multipart_upload", tries=1, Key=key, **_description(key, mark))
        return str(answer["UploadId"])

    def complete(self, key: str, upload_id: str, parts: Sequence[tuple[int, str]]) -> None:
        """Make the object out of these parts, number and ETag of each, where none was. Raises as `call`."""
        patient = evolve(self, access=evolve(self.access, timeout_s=max(self.access.timeout_s, COMPLETE_S)))
        chosen = [{"PartNumber": number, "ETag": etag} for number, etag in parts]
        with heartbeat(self.alive, PULSE_S):
            patient.call(
                "complete_multipart_upload",
                Key=key,
                UploadId=upload_id,
                MultipartUpload={"Parts": chosen},
                IfNoneMatch="*",
            )

    def abort(self, key: str, upload_id: str) -> None:
        """Remove the upload if it is there; parts that arrive meanwhile are removed too. Raises as `call`."""
        try:
            for _ in range(TRIES):
                self.call("abort_multipart_upload", Key=key, UploadId=upload_id)
                self.call("list_parts", Key=key, UploadId=upload_id, MaxParts=1)
        except ObjectMissing:
            return

    def parts(self, key: str, upload_id: str) -> dict[int, tuple[int, str]]:
        """Size and ETag of each part that has arrived. Raises as `call`."""
        found: dict[int, tuple[int, str]] = {}
        marker = 0
        while True:
            page = self.call("list_parts", Key=key, UploadId=upload_id, PartNumberMarker=marker)
            for part in page.get("Parts", ()):
                found[part["PartNumber"]] = (part["Size"], part["ETag"].strip('"'))
            if not page.get("IsTruncated") or page.get("NextPartNumberMarker", 0) <= marker:
                return found
            marker = page["NextPartNumberMarker"]

    def uploads(self, key: str) -> list[str]:
        """The ids of all uploads to this very key, anybody's. Raises as `call`."""
        found: list[str] = []
        markers: dict[str, Any] = {}
        while True:
            try:
                page = self.call("list_multipart_uploads", Prefix=key, EncodingType="url", **markers)
            except ObjectMissing:  # some say so of a bucket that has none
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

    def _judged(self, error: Exception, operation: str) -> Exception:
        judged = errors.map_error(error, operation)
        if isinstance(judged, Fault) and judged.reason is OutageReason.DENIED:
            connect.cache_clear()  # the next client looks for credentials afresh
        return judged


def owner_tag_in(answer: Answer) -> str:
    """The mark that an object carries; some servers change the case of its name."""
    return next((text for name, text in answer.get("Metadata", {}).items() if name.lower() == OWNER_TAG), "")


def _description(key: str, mark: str) -> dict[str, Any]:
    """What an object says of itself from the beginning."""
    kind, _ = mimetypes.guess_type(key, strict=False)
    return {"Metadata": {OWNER_TAG: mark}, "ContentType": kind or "application/octet-stream"}


def _is_opaque(answer: Answer) -> bool:
    """Encrypted with keys of its own, an object has an ETag that is no MD5."""
    kind = str(answer.get("ServerSideEncryption", ""))
    return kind.startswith("aws:kms") or "SSECustomerAlgorithm" in answer


def _wait(again: int) -> None:
    time.sleep(FIRST_WAIT_S * 2**again * random.uniform(0.5, 1.0))  # noqa: S311  no secret
