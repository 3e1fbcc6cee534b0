"""What must be so at every instant, and what in the end: each broken promise is a line for people."""

from collections.abc import Iterator

from attrs import frozen

from agent.model.names import conflict_path
from tests.crash.folder_states import Memory, Scene, digest_of
from tests.crash.variants import Variant

EMPTY = digest_of(b"")


@frozen
class Promises:
    """Of one transfer; `before`: what stood there when it began."""

    variant: Variant
    before: Scene

    def broken_at_once(self, scene: Scene) -> Iterator[str]:
        """S1, S2 and S3, which hold at every instant."""
        finals = self._finals(scene)
        for path, content in self.variant.files.items():
            places = (f"source/{path}", self._final(path, scene))
            if all(place not in scene or scene[place].digest != digest_of(content) for place in places):
                yield f"S1: {path} is complete nowhere, there are only {sorted(scene)}"
        yield from self._foreign(scene)
        for path, item in scene.items():
            is_hidden = path.rpartition("/")[2].startswith(".")
            if path.startswith("nas/") and path not in self.before and not is_hidden:
                if path not in finals:
                    yield f"S3: {path} has appeared"
                elif item.digest != finals[path]:
                    yield f"S3: {path} shows {item.size_bytes} other bytes"

    def broken_in_the_end(self, scene: Scene, memory: Memory) -> Iterator[str]:
        """Everything has arrived once, and nothing else is left anywhere."""
        yield from self.broken_on_disk(scene)
        result = "kept" if self.variant.keeps else "delivered"
        ended = sorted((path, result) for path in self.variant.files)
        yield from _differing("in the history", ended, sorted(memory.history))
        yield from _differing("running in the journal", (), memory.running)

    def broken_on_disk(self, scene: Scene) -> Iterator[str]:
        """The part of the end that needs no journal."""
        yield from self._foreign(scene)
        expected = {path: item.digest for path, item in self.before.items() if path.startswith("nas/")}
        expected |= self._finals(scene)
        for path, content in self.variant.files.items():
            if self.variant.keeps:
                expected[f"source/{path}"] = digest_of(content)
            if path in self.variant.archived:
                expected[f"archive/{self.variant.archived[path]}"] = digest_of(content)
        found = {path: item.digest for path, item in scene.items()}
        yield from _differing("in the folders", expected, found)

    def _foreign(self, scene: Scene) -> Iterator[str]:
        for path, item in self.before.items():
            if path.startswith("nas/") and scene.get(path) != item:
                yield f"S2: {path} was {item} and is {scene.get(path)}"

    def _finals(self, scene: Scene) -> dict[str, str]:
        """Digests by path, of all that may show under a final name."""
        finals = {}
        for path, content in self.variant.files.items():
            if self._is_spared(path, scene):
                finals[f"nas/{self.variant.finals[path]}"] = EMPTY
            finals[self._final(path, scene)] = digest_of(content)
        return finals

    def _final(self, path: str, scene: Scene) -> str:
        return "nas/" + conflict_path(self.variant.finals[path], int(self._is_spared(path, scene)))

    def _is_spared(self, path: str, scene: Scene) -> bool:
        name = f"nas/{self.variant.finals[path]}"
        return self.variant.spares_empty_name and name in scene and not scene[name].size_bytes


def _differing(where: str, expected: object, found: object) -> Iterator[str]:
    if expected != found:
        yield f"{where}: expected {expected}, found {found}"
