"""Names that no route moves: unfinished files, and what systems, cards and NAS keep for themselves.

A name counts wherever it stands in a path: what is below an excluded folder is excluded with it. No `include`
brings one back. Letter case is ignored, because cards with FAT names show THUMBS.DB and RECYCLED.
"""

_UNFINISHED = (
    *("*.tmp", "*.part", "*.partial", "*.filepart", "*.download", "*.crdownload", "*.opdownload"),
    *("*.aria2", "*.!ut", "*.!qB", "*.!sync"),
    *(".in.*", ".pureftpd-upload.*", ".goutputstream-*"),
    *(".~tmp~", ".rsync-partial"),
)
# What a file server or client keeps of a file that was removed while a program had it open.
_REMOVED_WHILE_OPEN = (".nfs*", ".fuse_hidden*", ".smbdelete*", ".__smb*", ".afpDeleted*")
_SYSTEM = (
    *(".DS_Store", "._*", ".Trashes", ".Trash", ".Spotlight-V100", ".fseventsd", ".DocumentRevisions-V100"),
    *(".TemporaryItems", "Temporary Items", "Network Trash Folder", ".apdisk", ".AppleDouble", ".AppleDB"),
    *("Thumbs.db", "desktop.ini", "$RECYCLE.BIN", "RECYCLED", "RECYCLER", "System Volume Information"),
    *(".Trash-*", "lost+found", ".recycle", "#recycle", "@Recycle", ".@__thumb", "@eaDir", "@tmp"),
    *(".snapshot", ".snapshots", "~snapshot", "#snapshot", ".zfs"),
    *(".stfolder", ".stversions", ".stignore", ".sync"),
)
_SYSTEM_SET = frozenset(_SYSTEM)
_RSYNC = ".*.??????"  # six letters and digits
_RSYNC_SUFFIX_LENGTH = len("??????")

BUILT_IN_EXCLUDES = (*_UNFINISHED, _RSYNC, *_REMOVED_WHILE_OPEN, *_SYSTEM)

_BY_SUFFIX = {glob.removeprefix("*").lower(): glob for glob in BUILT_IN_EXCLUDES if glob.startswith("*")}
_BY_PREFIX = tuple((glob.removesuffix("*").lower(), glob) for glob in BUILT_IN_EXCLUDES if glob.endswith("*"))
_BY_NAME = {glob.lower(): glob for glob in BUILT_IN_EXCLUDES if not {"*", "?"} & set(glob)}


def excludes_name(name: str) -> str | None:
    """Return the built-in exclude that this name of a file or folder matches, None if there is none."""
    name = name.lower()
    if (glob := _BY_NAME.get(name)) is not None:
        return glob
    stem, dot, suffix = name.rpartition(".")
    if (glob := _BY_SUFFIX.get(dot + suffix)) is not None:
        return glob
    if not name.startswith("."):  # as every name that matches one of the others
        return None
    if len(suffix) == _RSYNC_SUFFIX_LENGTH and suffix.isascii() and suffix.isalnum() and len(stem) > 1:
        return _RSYNC
    return next((glob for prefix, glob in _BY_PREFIX if name.startswith(prefix)), None)


def is_system_name(name: str) -> bool:
    """Return whether it is a file or folder that a system, a card or a NAS keeps for itself."""
    return excludes_name(name) in _SYSTEM_SET


def excludes_path(path: str) -> str | None:
    """Return the built-in exclude that a name in this relative path matches, None if there is none."""
    return next(filter(None, map(excludes_name, path.split("/"))), None)
