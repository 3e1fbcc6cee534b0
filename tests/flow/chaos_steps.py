"""The steps of a chaos run, drawn from a seed: the same seed gives the same steps."""

import errno
import random
from collections.abc import Callable

from attrs import frozen

from tests.flow.faulty_worker import SMALL_BLOCK_BYTES
from tests.worker.copy.faulty import ALWAYS

BLOCK = SMALL_BLOCK_BYTES
WINDOW = 8 * BLOCK
HEAD_BYTES = 24  # unique, so that every content and every truncated one differs
SIZES = (HEAD_BYTES, BLOCK - 1, BLOCK, BLOCK + 1, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW + 17, 7 * WINDOW)
SHORT_S = (0.0, 0.0, 0.005, 0.02, 0.05)
LONG_S = (0.02, 0.05, 0.1, 0.2, 0.4)  # long enough for the agent to react

NAMES = (
    "a.mxf",
    "a_1.mxf",
    "card/b.mov",
    "card/CLIPS001/-c.wav",
    "two\nlines.mp4",
    "caf\udce9/d.mxf",
    "n" * 251 + ".mxf",
    "no suffix",
)
OUTAGES = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EIO,
    errno.ESTALE,
    errno.ENOTCONN,
    errno.ETIMEDOUT,
    errno.ENOENT,
)
REFUSALS = (errno.EFBIG, errno.EINVAL, errno.ENAMETOOLONG)
WRITING = ("open_partial", "write", "anchor", "flush", "seal", "publish")
OPERATIONS = (
    *WRITING,
    "probe",
    "open",
    "size",
    "truncate",
    "read_back",
    "close",
    "stands",
    "find",
    "compare",
    "make_durable",
    "discard",
    "together",
    "strays",
)
LATE = ("write", "truncate", "flush", "seal", "publish", "discard", "make_durable")


@frozen
class ChaosStep:
    """A method of `ChaosEnvironment`, its arguments, and the wait after it."""

    name: str
    values: tuple[object, ...]
    gap_s: float

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(_short, self.values))})  then wait {self.gap_s:g} s"


def _short(value: object) -> str:
    return f"{value[:HEAD_BYTES]!r}..{len(value)}" if isinstance(value, bytes) else repr(value)


Values = tuple[object, ...]
Draw = Callable[[random.Random], Values]


def content(rng: random.Random, *, may_be_empty: bool = True) -> bytes:
    if may_be_empty and rng.random() < 0.05:
        return b""
    head = f"{rng.getrandbits(64):016x}".encode().ljust(HEAD_BYTES, b".")
    return head + rng.randbytes(rng.choice(SIZES) - HEAD_BYTES)


def nothing(_: random.Random) -> Values:
    return ()


def a_file(rng: random.Random) -> Values:
    return (rng.choice(NAMES),)


def a_content(rng: random.Random) -> Values:
    return (rng.choice(NAMES), content(rng))


def an_altered_bit(rng: random.Random) -> Values:
    return (rng.choice(NAMES), rng.random())


def a_foreign_file(rng: random.Random) -> Values:
    """Other content, under a name that one of our files may need."""
    return (rng.choice(NAMES), rng.choice((0, 0, 0, 1, 2)), content(rng, may_be_empty=False))


def a_foreign_partial(rng: random.Random) -> Values:
    folder, slash, name = rng.choice(NAMES).rpartition("/")
    return (
        f"{folder}{slash}.{name[:200]}.{rng.getrandbits(64):016x}.partial",
        content(rng, may_be_empty=False),
    )


def an_outage(rng: random.Random) -> Values:
    on = rng.choice(((rng.choice(OPERATIONS),), WRITING, ()))
    late = rng.random() < 0.3
    return (
        tuple(name for name in on if name in LATE) or ("publish",) if late else on,
        "error",
        rng.choice(OUTAGES if rng.random() < 0.85 else REFUSALS),
        late,
        rng.choice((1, 1, 1, 2, 5, 20)),
        rng.choice((1, 1, 3, ALWAYS)),
    )


def a_hang(rng: random.Random) -> Values:
    on = (rng.choice(OPERATIONS),) if rng.random() < 0.7 else ()
    return (on, "hang", 0, False, rng.choice((1, 1, 3, 10)), rng.choice((1, ALWAYS)))


def an_alteration(rng: random.Random) -> Values:
    on = (rng.choice(("write", "read_back")),)
    return (on, "flip", 0, False, rng.choice((1, 3, 9)), rng.choice((1, 2, 5, ALWAYS)))


def a_slowdown(rng: random.Random) -> Values:
    on, effect, slower_ms = rng.choice(
        (
            (("write",), "short", 0),
            (("write", "read_back"), "slow", 5),
            (("source_open", "seal", "stands", "publish", "settle"), "slow", 60),
            (("settle",), "slow", 200),
        )
    )
    return (on, effect, slower_ms, False, 1, 100)


def a_source_fault(rng: random.Random) -> Values:
    on = rng.choice(("source_open", "source_read", "source_read", "settle", "list", "examine", "look_up"))
    late = on in ("settle", "look_up") and rng.random() < 0.5
    first, times = rng.choice((1, 1, 3, 10)), rng.choice((1, 3, ALWAYS))
    return ((on,), "error", rng.choice((errno.EIO, errno.EACCES, errno.ESTALE)), late, first, times)


def a_source_hang(rng: random.Random) -> Values:
    return (("source_read",), "hang", 0, False, rng.choice((1, 5, 20)), 1)


KINDS: tuple[tuple[int, str, Draw], ...] = (
    (20, "arrive", a_content),
    (3, "record", a_content),
    (3, "close", a_file),
    (6, "overwrite", a_content),
    (3, "append", a_content),
    (3, "alter", an_altered_bit),
    (2, "cut", an_altered_bit),
    (5, "replace", a_content),
    (2, "remove", a_file),
    (3, "touch", a_file),
    (4, "foreign_file", a_foreign_file),
    (2, "foreign_duplicate", a_file),
    (1, "foreign_file_named", a_foreign_partial),
    (14, "fault", an_outage),
    (3, "fault", a_hang),
    (3, "fault", an_alteration),
    (6, "fault", a_slowdown),
    (5, "fault", a_source_fault),
    (1, "fault", a_source_hang),
    (14, "heal", nothing),
    (3, "unmount", nothing),
    (9, "mount", nothing),
    (6, "kill_a_worker", nothing),
    (2, "stop", nothing),
    (4, "crash", nothing),
    (16, "start", nothing),
    (3, "reload", nothing),
    (2, "pause", nothing),
    (3, "resume", nothing),
    (2, "retry_all", nothing),
    (2, "retry", a_file),
    (2, "cancel", a_file),
)
LASTING = ("start", "fault", "kill_a_worker", "resume", "retry_all", "mount")
WEIGHTS = [weight for weight, _, _ in KINDS]


def drawn(rng: random.Random) -> list[ChaosStep]:
    steps = [ChaosStep("start", (), 0.0), *(_step(rng, "arrive", a_content) for _ in range(2))]
    for _, name, draw in rng.choices(KINDS, WEIGHTS, k=rng.randint(12, 30)):
        steps.append(_step(rng, name, draw))
    return steps


def _step(rng: random.Random, name: str, draw: Draw) -> ChaosStep:
    return ChaosStep(name, draw(rng), rng.choice(LONG_S if name in LASTING else SHORT_S))
