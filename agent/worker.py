"""What runs inside a worker process: read a request, call the stores, stream the replies.

Its one argument is the local file of claims (`agent.stores.claims`).

Frames on both pipes: a 4-byte big-endian length, then a pickle (trusted: both ends are ours). From the
worker: (is it the last reply, the reply or Fault). A thread owns standard input, so that the worker ends with
the agent, even in the middle of a copy.
"""

import os
import pickle
import queue
import signal
import struct
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO, assert_never

from attrs import define, field

from agent.faults import Fault, FaultKind
from agent.protocol import (
    CheckFile,
    CopyFile,
    CopyFiles,
    DiscardPartial,
    ExamineSource,
    FindDestination,
    FindFolder,
    FindStrays,
    Finished,
    FollowFile,
    Listed,
    ListenToSource,
    ListingEnd,
    ListSource,
    LookUpSource,
    Moving,
    Outcomes,
    Place,
    PrepareSource,
    Presence,
    ProbeDestination,
    PublishFile,
    PublishFiles,
    Reply,
    Request,
    SettleSource,
    SettleSources,
    SourceFolder,
    SourceSettled,
    Started,
    Strays,
    Touched,
    Waiting,
)
from agent.stores import places, platform, source
from agent.stores.arriving import copy_file, publish_file
from agent.stores.checking import check_file
from agent.stores.claims import Claims
from agent.stores.destination import Destination
from agent.stores.events import SourceEvents
from agent.stores.following import follow_file
from agent.stores.platform import Publisher
from agent.stores.roots import find_folder
from agent.stores.settling import settle
from agent.stores.together import copy_together, publish_together, settle_together
from agent.stores.whereabouts import Whereabouts

HEADER = struct.Struct(">I")
LISTED_AT_ONCE = 500  # entries in a reply: a long listing shows that it is alive, and is dealt with in parts
PULSE_S = 0.2  # after as long a silence a copy says whom it waits for
MOVING_S = 0.25  # as often it is said that bytes move


def read_frame(stream: BinaryIO) -> object | None:
    """The next frame's object, None at the end of the stream, even in the middle of a frame."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    (length,) = HEADER.unpack(header)
    body = stream.read(length)
    if len(body) < length:
        return None
    value: object = pickle.loads(body)  # noqa: S301  our own parent wrote it
    return value


def frame(value: object) -> bytes:
    body = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return HEADER.pack(len(body)) + body


@define
class Desk:
    """Serves one request after the other; replies may come from any of its threads."""

    _output: BinaryIO
    _claims: Claims
    _publisher: Publisher = field(factory=Publisher)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _copy: Whereabouts | None = field(default=None, init=False)
    _sent_s: float = field(default=0.0, init=False)

    def serve(self, request: Request) -> None:
        try:
            last: Reply | Fault = self._answer(request)
        except Fault as fault:
            last = fault
        except Exception as error:  # noqa: BLE001  a bug here must not look like a dead worker
            last = Fault(FaultKind.WORKER, f"{type(error).__name__}: {error}")
        self._send(last, is_last=True)

    def stream(self, reply: Reply) -> None:
        self._send(reply, is_last=False)

    def moving(self) -> None:
        """Bytes are on their way, from any thread; said now and then."""
        if time.monotonic() - self._sent_s >= MOVING_S:
            self.stream(Moving())

    def tell_side(self) -> None:
        """For ever, for a thread of its own: say whom a copy waits for in which nothing moves."""
        while True:
            time.sleep(PULSE_S)
            self.pulse(time.monotonic())

    def pulse(self, now_s: float) -> None:
        with self._lock:
            if self._copy is not None and now_s - self._sent_s >= PULSE_S:
                self._write(Waiting(self._copy.side()), is_last=False)

    def _send(self, reply: Reply | Fault, *, is_last: bool) -> None:
        with self._lock:
            if is_last:
                self._copy = None  # under the lock: nothing may follow the last word
            self._sent_s = time.monotonic()
            self._write(reply, is_last=is_last)

    def _write(self, reply: Reply | Fault, *, is_last: bool) -> None:
        try:
            self._output.write(frame((is_last, reply)))
            self._output.flush()
        except BrokenPipeError:
            os._exit(0)  # the agent has gone while we were stuck

    def _answer(self, request: Request) -> Reply:  # noqa: C901, PLR0911, PLR0912  one line per request
        match request:
            case PrepareSource(root):
                source.prepare(root)
                return Finished()
            case ListSource(folder):
                return self._list(folder)
            case ExamineSource(folder, paths, closely):
                unseen: list[tuple[str, str]] = []
                entries = tuple(source.examine(folder, paths, closely, unseen))
                return ListingEnd(entries, tuple(unseen), source.free_bytes(folder.root))
            case ListenToSource(root):
                return self._listen(root)
            case ProbeDestination():
                return places.probe(request, self.moving)
            case FindDestination():
                return places.find(request, self.moving)
            case CopyFile(place=place, partial=partial):
                self._copy = whereabouts = Whereabouts()
                with self._claims.held(place.root, partial), self._destination(place) as destination:
                    return copy_file(request, destination, self.stream, whereabouts)
            case FollowFile(place=place, partial=partial):
                self._copy = whereabouts = Whereabouts()
                with self._claims.held(place.root, partial), self._destination(place) as destination:
                    return follow_file(request, destination, self.stream, whereabouts)
            case PublishFile(place=place, partial=partial):
                with self._claims.held(place.root, partial), self._destination(place) as destination:
                    return publish_file(request, destination, self.stream)
            case CheckFile(place=place):
                with self._destination(place) as destination:
                    return check_file(request, destination, self.stream)
            case DiscardPartial(place, partial):
                with self._destination(place) as destination:
                    destination.discard(partial)
                return Finished()
            case FindStrays(place, identity, deep):
                with self._destination(place) as destination:
                    for paths in destination.strays(identity, deep=deep):
                        self.stream(Strays(paths))
                return Finished()
            case SettleSource(root, path, signature, after, archive):
                return SourceSettled(settle(root, path, signature, after, archive))
            case CopyFiles(requests):
                self._copy = whereabouts = Whereabouts()
                with self._together(requests) as destination:
                    return Outcomes(copy_together(requests, destination, self.moving, whereabouts))
            case PublishFiles(requests):
                with self._together(requests) as destination:
                    return Outcomes(publish_together(requests, destination, self.moving))
            case SettleSources(requests):
                return Outcomes(settle_together(requests[0].source, requests, self.moving))
            case LookUpSource(root, path):
                return Presence(source.exists(root, path))
            case FindFolder(path, roots):
                return find_folder(path, roots)
            case _ as never:
                assert_never(never)

    def _destination(self, place: Place) -> AbstractContextManager[Destination]:
        return places.destination(place, self._publisher, self.moving)

    @contextmanager
    def _together(self, requests: Sequence[CopyFile] | Sequence[PublishFile]) -> Iterator[Destination]:
        place = requests[0].place
        partials = [request.partial for request in requests]
        with self._claims.all_held(place.root, partials), self._destination(place) as destination:
            yield destination

    def _list(self, folder: SourceFolder) -> ListingEnd:
        listing = source.Listing(folder)
        batch = []
        for entry in listing.entries():
            batch.append(entry)
            if len(batch) == LISTED_AT_ONCE:
                self.stream(Listed(tuple(batch)))
                batch = []
        return ListingEnd(tuple(batch), tuple(listing.unseen), source.free_bytes(folder.root))

    def _listen(self, root: str) -> Finished:
        source.wait_for(root)
        with SourceEvents(root) as events:
            while events.active:
                paths = events.wait(None)
                if paths is not None:
                    self.stream(Touched(paths, events.overflowed, events.complete))
        return Finished()


def _own_standard_input(requests: "queue.Queue[Request]") -> None:
    try:
        while (request := read_frame(sys.stdin.buffer)) is not None:
            requests.put(request)  # type: ignore[arg-type]
    finally:
        os._exit(0)  # the agent is gone, or wants us gone


def main() -> None:
    # A terminal's Ctrl-C or hang-up and a supervisor's TERM reach the whole group; the agent alone decides.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    platform.prepare_process()
    requests: queue.Queue[Request] = queue.Queue()
    threading.Thread(target=_own_standard_input, args=(requests,), daemon=True).start()
    desk = Desk(sys.stdout.buffer, Claims(sys.argv[1]))
    desk.stream(Started())
    threading.Thread(target=desk.tell_side, daemon=True).start()
    while True:
        desk.serve(requests.get())


if __name__ == "__main__":
    main()
