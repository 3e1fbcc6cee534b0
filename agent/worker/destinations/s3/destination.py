"""An S3 bucket as a destination."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Self

from attrs import define, field

from agent.model.errors import Fault, FaultKind
from agent.model.multipart import MOST_PARTS, MultipartRef, PartLayout, fingerprint_of, parse_reference
from agent.model.names import NAME_MAX_BYTES, PROBE, conflict_path, has_our_tag
from agent.model.storage import S3Access
from agent.model.verification import BLOCK_BYTES
from agent.protocol.requests import ConflictMode
from agent.worker.destinations.base import Beat
from agent.worker.destinations.s3.bucket import Response, S3Bucket, identity_in, owner_tag_in
from agent.worker.destinations.s3.errors import ObjectMissing, upload_lost
from agent.worker.destinations.s3.object_reader import ObjectReader
from agent.worker.destinations.s3.partial import MemoryPartial, UploadPartial, identity_of_parts


@define
class S3Destination:
    """A partial is an open multipart upload; a file that fits into one part is a partial in memory."""

    _bucket: S3Bucket
    _part_blocks: int
    _in_memory: dict[str, MemoryPartial] = field(factory=dict, init=False)

    @classmethod
    @contextmanager
    def open(cls, root: str, access: S3Access, beat: Beat) -> Iterator[Self]:
        yield cls(S3Bucket.at(root, access, beat), -(-access.part_size_bytes // BLOCK_BYTES))

    @property
    def calls_at_once(self) -> int:
        return 1  # workers run in parallel instead

    @property
    def name_max_bytes(self) -> int:
        return NAME_MAX_BYTES  # as on the folders where the object may end

    def durable_together(self) -> AbstractContextManager[None]:
        return nullcontext()  # a request is durable once the service has responded

    def allocate_partial(
        self, partial: str, name: str, size_bytes: int | None, conflict: ConflictMode
    ) -> str:
        """Choose the name and list the uploads to it that exist; with that journaled, create our upload."""
        size_blocks = None if size_bytes is None else -(-size_bytes // BLOCK_BYTES)
        upload = parse_reference(partial)
        if upload is None and size_blocks is not None and size_blocks <= self._part_blocks:
            return partial
        if upload is not None and upload.id is None:
            return self._create_upload(upload).reference()
        if upload is not None and self._is_usable(upload, size_blocks):
            return partial
        if upload is not None:
            self.discard(partial)
        name = self._free_name(name, conflict)
        known_ids = tuple(self._bucket.list_uploads(self._bucket.key(name)))
        parts = PartLayout.of(size_blocks, self._part_blocks)
        return MultipartRef(name, fingerprint_of(partial), parts, known_ids=known_ids).reference()

    def open_partial(
        self,
        partial: str,
        *,
        is_begun: bool = False,  # noqa: ARG002  an upload that is lost is noticed anyway
    ) -> UploadPartial | MemoryPartial:
        upload = parse_reference(partial)
        if upload is None:
            return self._in_memory.setdefault(partial, MemoryPartial(self._part_blocks))
        key, upload_id = self._bucket.key(upload.name), upload.id or ""
        try:
            stored = self._bucket.list_parts(key, upload_id)
        except ObjectMissing:
            raise upload_lost() from None
        return UploadPartial(self._bucket, key, upload_id, upload.parts, stored)

    def discard(self, partial: str) -> bool:
        upload = parse_reference(partial)
        if upload is not None:
            key = self._bucket.key(upload.name)
            for upload_id in [upload.id] if upload.id else self._empty_new_uploads(upload):
                self._bucket.abort_upload(key, upload_id)
        elif self._in_memory.pop(partial, None) is None and self.exists(partial):
            self._bucket.call("delete_object", Key=self._bucket.key(partial))
        return True  # an upload cannot be moved

    def publish(self, partial: str, name: str, size_bytes: int, file_identity: str | None) -> str | None:
        key, fingerprint = self._bucket.key(name), fingerprint_of(partial)
        if partial in self._in_memory:
            blocks = self._in_memory[partial].blocks
            created = self._create_once(key, fingerprint, lambda: self._bucket.put(key, blocks, fingerprint))
            del self._in_memory[partial]
            return identity_in(created, size_bytes)
        upload = parse_reference(partial)
        if upload is None or upload.id is None:
            raise upload_lost()
        if upload.name != name:
            raise Fault(FaultKind.CONFLICT, f"{upload.name!r} was taken while it was being uploaded")
        created = self._create_once(
            key, fingerprint, lambda: self._complete(key, upload, size_bytes, file_identity)
        )
        # Some services answer a completion with another ETag than they show later.
        return identity_in(self._bucket.head(key) or created, size_bytes)

    def unpublish(self, partial: str, name: str) -> bool:
        key = self._bucket.key(name)
        found = self._bucket.head(key)
        if found is None or not _has_owner_tag(found, fingerprint_of(partial)):
            return False
        version = {"VersionId": found["VersionId"]} if _is_versioned(found) else {"IfMatch": found["ETag"]}
        self._bucket.call("delete_object", Key=key, **version)
        return True

    def exists(self, name: str) -> bool:
        if name in self._in_memory:
            return True
        upload = parse_reference(name)
        if upload is None:
            return self._bucket.head(self._bucket.key(name)) is not None
        try:
            self._bucket.call(
                "list_parts", Key=self._bucket.key(upload.name), UploadId=upload.id or "", MaxParts=1
            )
        except ObjectMissing:
            return False
        return True

    def find(self, name: str) -> ObjectReader | None:
        key = self._bucket.key(name)
        found = self._bucket.head(key)
        if found is None:
            return None
        size_bytes = found["ContentLength"]
        return ObjectReader(self._bucket, key, found["ETag"], size_bytes, identity_in(found, size_bytes))

    def find_orphans(self, identity: str, *, deep: bool) -> Iterator[tuple[str, ...]]:  # noqa: ARG002  see below
        """Find the objects of write probes only, because no property of an open upload proves its owner."""
        prefix = self._bucket.prefix
        page = self._bucket.call("list_objects_v2", Prefix=f"{prefix}.{PROBE}.")
        paths = (str(each["Key"]).removeprefix(prefix) for each in page.get("Contents", ()))
        yield tuple(path for path in paths if has_our_tag(identity, path))

    def _is_usable(self, upload: MultipartRef, size_blocks: int | None) -> bool:
        if size_blocks is not None and upload.parts.count(size_blocks) > MOST_PARTS:
            return False
        return not self.exists(upload.name) and self.exists(upload.reference())

    def _free_name(self, name: str, conflict: ConflictMode) -> str:
        number = 0
        while self.exists(chosen := conflict_path(name, number)):
            if conflict == "fail":
                raise Fault(FaultKind.CONFLICT, f"{chosen!r} exists at the destination")
            number += 1
        return chosen

    def _create_upload(self, upload: MultipartRef) -> MultipartRef:
        """Create the upload, after the removal of one whose creation had a lost response."""
        for upload_id in self._empty_new_uploads(upload):
            self._bucket.abort_upload(self._bucket.key(upload.name), upload_id)
        return upload.with_id(self._bucket.create_upload(self._bucket.key(upload.name), upload.fingerprint))

    def _empty_new_uploads(self, upload: MultipartRef) -> list[str]:
        """Return uploads without parts that `known_ids` lacks: the responses to their creation were lost."""
        key = self._bucket.key(upload.name)
        new = [each for each in self._bucket.list_uploads(key) if each not in upload.known_ids]
        empty = []
        for upload_id in new:
            with suppress(ObjectMissing):
                if not self._bucket.list_parts(key, upload_id):
                    empty.append(upload_id)
        return empty

    def _complete(
        self, key: str, upload: MultipartRef, size_bytes: int, file_identity: str | None
    ) -> Response:
        upload_id = upload.id or ""
        listed = self._bucket.list_parts(key, upload_id)
        numbers = range(1, upload.parts.count(-(-size_bytes // BLOCK_BYTES)) + 1)
        parts = {number: listed[number] for number in numbers if number in listed}
        is_known = file_identity in (None, identity_of_parts(parts))
        if not is_known or sum(stored_bytes for stored_bytes, _ in parts.values()) != size_bytes:
            raise Fault(FaultKind.CORRUPT, "s3: the parts that are listed are not the file that was sent")
        return self._bucket.complete_upload(
            key, upload_id, [(number, etag) for number, (_, etag) in parts.items()]
        )

    def _create_once(self, key: str, fingerprint: str, create: Callable[[], Response]) -> Response:
        """Create the object if the key is free; our own object from an earlier attempt counts as created.

        Returns the response that describes it.

        HEAD decides before and after, because responses get lost and some services ignore `IfNoneMatch`.

        Raises:
            FileExistsError: another object has the name.
        """
        before = self._bucket.head(key)
        if before is not None:
            if _has_owner_tag(before, fingerprint):
                return before
            raise FileExistsError(key)
        try:
            return create()
        except (Fault, FileExistsError, ObjectMissing) as error:
            after = self._bucket.head(key)
            if after is not None and _has_owner_tag(after, fingerprint):
                return after
            if isinstance(error, ObjectMissing):
                raise upload_lost() from None
            raise


def _has_owner_tag(found: Response, fingerprint: str) -> bool:
    return bool(fingerprint) and owner_tag_in(found) == fingerprint


def _is_versioned(found: Response) -> bool:
    return str(found.get("VersionId", "null")) != "null"
