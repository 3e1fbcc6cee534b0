"""Folders of a source that cannot be listed: said once when that begins and once when it is over."""

from collections.abc import Sequence

from attrs import define, field, frozen

from agent.model.source_file import UnreadableFolder

MAX_LOGGED = 20  # of a whole tree that is closed a part will do


@frozen
class UnreadableChange:
    """`begun` are the first of those that were readable until now, `more` how many there are beside them."""

    begun: tuple[UnreadableFolder, ...]
    more: int
    over: tuple[str, ...]


@define
class UnreadableFolders:
    """Those of one source, from scan to scan."""

    _known: set[str] = field(factory=set, init=False)

    def scanned(self, unseen: Sequence[UnreadableFolder]) -> UnreadableChange:
        """Take in what a whole scan could not see.

        What lies below a folder that cannot be listed is not heard of again until that can be.
        """
        now = {each.folder: each for each in unseen}
        closed = tuple(f"{folder}/" for folder in now)
        over = {folder for folder in self._known - now.keys() if not folder.startswith(closed)}
        begun = [now[folder] for folder in sorted(now.keys() - self._known)]
        self._known = (self._known - over) | now.keys()
        return UnreadableChange(
            tuple(begun[:MAX_LOGGED]), len(begun[MAX_LOGGED:]), tuple(sorted(over))[:MAX_LOGGED]
        )
