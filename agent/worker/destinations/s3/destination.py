"""A destination in an S3 bucket."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Self

from attrs import define, field

from agent.model.errors import Fault, FaultKind
from agent.model.multipart import MOST_PARTS, MultipartRef, PartLayout, mark_of, parse
from agent.model.names import PROBE, conflict_path, has_our_tag
from agent.model.storage import S3Access
from agent.model.transfer import BLOCK_BYTES
from agent.protocol.requests import ConflictMode
from agent.worker.destinations.s3.bucket import Alive, Answer, S3Bucket, owner_tag_in
from agent.worker.destinations.s3.errors import ObjectMissing, upload_lost
from agent.worker.destinations.s3.object_reader import ObjectReader
from agent.worker.destinations.s3.partial import MemoryPartial, UploadPartial


@define
class S3Destination:
    """The partial is an open multipart upload, except for files that fit into one part."""

    _bucket: S3Bucket
    _part_blocks: int
    _held: dict[str, MemoryPartial] = field(factory=dict, init=False)

    @classmethod
    @contextmanager
    def open(cls, root: str, access: S3Access, alive: Alive) -> Iterator[Self]:
        yield cls(S3Bucket.at(root, access, alive), -(-access.part_size_bytes // BLOCK_BYTES))

    @property
    def calls_at_once(self) -> int:
        return 1  # what is side by side here are workers

    def durable_together(self) -> AbstractContextManager[None]:
        return nullcontext()  # each request is durable when it has been answered

    def allocate_partial(
        self, partial: str, name: str, size_bytes: int | None, conflict: ConflictMode
    ) -> str:
        """First the name is chosen, and it is seen which uploads to it are not ours; then ours is begun."""
        size_blocks = None if size_bytes is None else -(-size_bytes // BLOCK_BYTES)
        upload = parse(partial)
        if upload is None and size_blocks is not None and size_blocks <= self._part_blocks:
            return partial
        if upload is not None and upload.id is None:
            return self._begun(upload).reference()
        if upload is not None and self._still_serves(upload, size_blocks):
            return partial
        if upload is not None:
            self.discard(partial)
        name = self._free_name(name, conflict)
        others = tuple(self._bucket.uploads(self._bucket.key(name)))
        parts = PartLayout.of(size_blocks, self._part_blocks)
        return MultipartRef(name, mark_of(partial), parts, known_ids=others).reference()

    def open_partial(self, partial: str) -> UploadPartial | MemoryPartial:
        upload = parse(partial)
        if upload is None:
            return self._held.setdefault(partial, MemoryPartial(self._part_blocks))
        key, upload_id = self._bucket.key(upload.name), upload.id or ""
        try:
            stored = self._bucket.parts(key, upload_id)
        except ObjectMissing:
            raise upload_lost() from None
        return UploadPartial(self._bucket, key, upload_id, upload.parts, stored)

    def discard(self, partial: str) -> None:
        upload = parse(partial)
        if upload is not None:
            key = self._bucket.key(upload.name)
            for upload_id in [upload.id] if upload.id else self._orphans(upload):
                self._bucket.abort(key, upload_id)
        elif self._held.pop(partial, None) is None and self.exists(partial):
            self._bucket.call("delete_object", Key=self._bucket.key(partial))

    def publish(self, partial: str, name: str, size_bytes: int) -> None:
        key, mark = self._bucket.key(name), mark_of(partial)
        if partial in self._held:
            self._once(key, mark, lambda: self._bucket.put(key, self._held[partial].blocks, mark))
            del self._held[partial]
            return
        upload = parse(partial)
        if upload is None or upload.id is None:
            raise upload_lost()
        if upload.name != name:
            raise Fault(FaultKind.CONFLICT, f"{upload.name!r} was taken while it was being uploaded")
        self._once(key, mark, lambda: self._complete(key, upload, size_bytes))

    def unpublish(self, partial: str, name: str) -> bool:
        key = self._bucket.key(name)
        found = self._bucket.head(key)
        if found is None or not _is_marked(found, mark_of(partial)):
            return False
        version = {"VersionId": found["VersionId"]} if _has_versions(found) else {"IfMatch": found["ETag"]}
        self._bucket.call("delete_object", Key=key, **version)
        return True

    def exists(self, name: str) -> bool:
        if name in self._held:
            return True
        upload = parse(name)
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
        return ObjectReader(self._bucket, key, found["ETag"], found["ContentLength"])

    def find_orphans(self, identity: str, *, deep: bool) -> Iterator[tuple[str, ...]]:  # noqa: ARG002  see below
        """Probes alone: nothing that can be asked of an open upload proves whose it is."""
        prefix = self._bucket.prefix
        page = self._bucket.call("list_objects_v2", Prefix=f"{prefix}.{PROBE}.")
        paths = (str(each["Key"]).removeprefix(prefix) for each in page.get("Contents", ()))
        yield tuple(path for path in paths if has_our_tag(identity, path))

    def _still_serves(self, upload: MultipartRef, size_blocks: int | None) -> bool:
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

    def _begun(self, upload: MultipartRef) -> MultipartRef:
        """Asked once at a time: an answer that was lost leaves an upload behind, which goes first."""
        for upload_id in self._orphans(upload):
            self._bucket.abort(self._bucket.key(upload.name), upload_id)
        return upload.with_id(self._bucket.begin(self._bucket.key(upload.name), upload.mark))

    def _orphans(self, upload: MultipartRef) -> list[str]:
        """Begun after we had looked, and nothing was ever put into it: an answer that did not reach us."""
        key = self._bucket.key(upload.name)
        new = [each for each in self._bucket.uploads(key) if each not in upload.known_ids]
        orphans = []
        for upload_id in new:
            with suppress(ObjectMissing):
                if not self._bucket.parts(key, upload_id):
                    orphans.append(upload_id)
        return orphans

    def _complete(self, key: str, upload: MultipartRef, size_bytes: int) -> None:
        upload_id = upload.id or ""
        listed = self._bucket.parts(key, upload_id)
        numbers = range(1, upload.parts.count(-(-size_bytes // BLOCK_BYTES)) + 1)
        if sum(listed.get(number, (0, ""))[0] for number in numbers) != size_bytes:
            raise Fault(FaultKind.CORRUPT, "s3: the parts that are listed are not the file that was sent")
        self._bucket.complete(key, upload_id, [(number, listed[number][1]) for number in numbers])

    def _once(self, key: str, mark: str, put: Callable[[], None]) -> None:
        """Put an object where none is. Services lose answers and ignore conditions: looking decides.

        Raises: FileExistsError: another has the name.
        """
        before = self._bucket.head(key)
        if before is not None:
            if _is_marked(before, mark):
                return
            raise FileExistsError(key)
        try:
            put()
        except (Fault, FileExistsError, ObjectMissing) as error:
            after = self._bucket.head(key)
            if after is not None and _is_marked(after, mark):
                return
            if isinstance(error, ObjectMissing):
                raise upload_lost() from None
            raise


def _is_marked(found: Answer, mark: str) -> bool:
    return bool(mark) and owner_tag_in(found) == mark


def _has_versions(found: Answer) -> bool:
    return str(found.get("VersionId", "null")) != "null"
