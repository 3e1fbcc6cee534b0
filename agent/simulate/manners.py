"""The manners: writers as they are met in the field, each a container and a set of habits."""

from attrs import field, frozen

from agent.config.units import KIB, MIB
from agent.simulate.habits import Habits


@frozen
class Manner:
    """`models` says in one line which real writers behave so."""

    name: str
    models: str
    container: str
    habits: Habits = field(factory=Habits)


_COPY = Habits(copies=True)
_RENAMED = Habits(copies=True, temp_name=".{name}.{random}", set_mtime=("end",))

RECORDERS = (
    Manner(
        "mxf-op1a", "ffmpeg, bmx: MXF OP1a, header and each body partition rewritten at close", "mxf-op1a"
    ),
    Manner(
        "mxf-d10", "IMX/D10, AVC-Intra, DNxHD in MXF: one body, 5 KB header rewritten at close", "mxf-d10"
    ),
    Manner("mxf-rdd9", "XDCAM HD (RDD 9): body partition every 10 s, 16 KB header rewritten", "mxf-rdd9"),
    Manner("mxf-part", "bmx --part: many body partitions, 22 KB header rewritten", "mxf-part"),
    Manner("mxf-as11", "AS-11: rewritten up to offset 4.2 MB at close", "mxf-as11"),
    Manner(
        "mxf-avid", "Avid OPAtom, clip-wrapped: 262 KB header and the essence's length at close", "mxf-avid"
    ),
    Manner(
        "mxf-avid-growing",
        "Avid growing file: says 'closed' and names a footer while it records",
        "mxf-avid-growing",
    ),
    Manner("mxf-single-pass", "bmx single pass: nothing is ever rewritten", "mxf-single-pass"),
    Manner(
        "mxf-duration",
        "edit-while-ingest: the header is rewritten every 10 s while recording",
        "mxf-duration",
    ),
    Manner(
        "mxf-headroom",
        "IPV-like ingest: provisional footer every 10 s, overwritten by essence",
        "mxf-headroom",
    ),
    Manner("mov", "ffmpeg, cameras: mdat size filled in at close, then moov appended", "mov"),
    Manner("mp4", "the same as MP4", "mp4"),
    Manner(
        "faststart", "ffmpeg +faststart: at close the whole file is moved back behind moov", "mp4-faststart"
    ),
    Manner(
        "moov-reserved", "ffmpeg -moov_size, GStreamer: moov written into its place at close", "mp4-reserved"
    ),
    Manner(
        "fragmented",
        "ffmpeg +frag_keyframe: fragments, index at the end, nothing rewritten",
        "mp4-fragmented",
    ),
    Manner(
        "fragmented-live", "DASH/CMAF encoders: fragments without an index, never says complete", "mp4-live"
    ),
    Manner(
        "hybrid", "OBS hybrid MP4, GStreamer finalise: fragments become a plain MP4 at close", "mp4-hybrid"
    ),
    Manner(
        "gstreamer-robust",
        "GStreamer robust MOV: moov rewritten every 2 s, two slots by turns, synced",
        "mov-robust",
        Habits(sync=True),
    ),
    Manner("matroska", "ffmpeg, OBS: head filled in at close", "mkv"),
    Manner(
        "matroska-cues-front",
        "ffmpeg -cues_to_front: at close the whole file is moved back",
        "mkv-cues-front",
    ),
    Manner(
        "gstreamer-matroska", "GStreamer matroskamux: every second a size behind the tail", "mkv-backpatching"
    ),
    Manner("matroska-live", "streaming Matroska: nothing filled in, never says complete", "mkv-live"),
    Manner("wav", "sound recorders: two sizes filled in at close", "wav"),
    Manner("bwf", "Broadcast Wave recorders: the same behind a bext chunk", "bwf"),
    Manner("rf64", "ffmpeg -rf64, BW64: JUNK becomes ds64 at close", "rf64"),
    Manner("avi", "capture cards: index appended, then sizes in the head", "avi"),
    Manner("ts", "encoders, DVB recorders: packets, nothing rewritten", "ts"),
    Manner(
        "hls",
        "ffmpeg hls temp_file: a whole segment at once as .tmp, then renamed",
        "ts",
        Habits(burst=True, temp_name="{name}.tmp"),
    ),
    Manner("append", "logs, data recorders: append, nothing else", "raw"),
)

COPIES = (
    Manner("cp", "cp, dd, scp: grows under the final name", "mxf-op1a", _COPY),
    Manner(
        "cp-preserve",
        "cp -p, shutil.copy2, mv from another disk: old times as the last act",
        "mxf-op1a",
        Habits(copies=True, set_mtime=("end",)),
    ),
    Manner("rsync", "rsync: hidden temporary name, times set, renamed", "mov", _RENAMED),
    Manner(
        "rsync-inplace",
        "rsync --inplace: final name, old times at the end",
        "mov",
        Habits(copies=True, set_mtime=("end",)),
    ),
    Manner(
        "rsync-preallocate",
        "rsync --inplace --preallocate: storage from the start, size grows",
        "mov",
        Habits(copies=True, allocate="keep-size", set_mtime=("end",)),
    ),
    Manner(
        "ftp",
        "FTP upload under the final name, with stalls",
        "mxf-op1a",
        Habits(copies=True, write_bytes=64 * KIB, jitter=0.5),
    ),
    Manner(
        "ftp-resume",
        "FTP REST/APPE, rsync --append: closed in the middle, opened again and continued",
        "mxf-op1a",
        Habits(copies=True, pause_at=(0.5,), pause_s=4, pause_closed=True),
    ),
    Manner(
        "ftp-allocate",
        "FTP ALLO, download managers: final size at once, then filled",
        "mov",
        Habits(copies=True, allocate="truncate"),
    ),
    Manner(
        "rename-at-end",
        "FTP servers, browsers, Resolve: .part until the end",
        "mxf-op1a",
        Habits(copies=True, temp_name="{name}.part"),
    ),
    Manner(
        "rename-over",
        "editors, safe savers: a new file renamed over an older one",
        "mov",
        Habits(copies=True, temp_name="{name}.tmp", replaces=True),
    ),
    Manner(
        "smb-eof-first",
        "Explorer, Finder over SMB: final size at once, old times at start and end",
        "mp4-faststart",
        Habits(copies=True, allocate="truncate", set_mtime=("start", "end"), write_bytes=MIB),
    ),
    Manner(
        "fallocate",
        "Samba strict allocate: size and storage final from the start",
        "mp4-faststart",
        Habits(copies=True, allocate="fallocate", write_bytes=MIB),
    ),
    Manner(
        "interleaved",
        "multi-stream transfers: four ranges at once, holes between them",
        "mxf-op1a",
        Habits(copies=True, allocate="truncate", order="interleaved"),
    ),
    Manner(
        "tail-first",
        "clients that probe the end first: the tail, then the rest",
        "mxf-op1a",
        Habits(copies=True, allocate="truncate", order="tail-first"),
    ),
    Manner(
        "nfs-writeback",
        "NFS write-back, torrents: pages arrive in any order",
        "mov",
        Habits(copies=True, order="random"),
    ),
    Manner(
        "times-while-writing",
        "copiers that set the old times after every write: mtime never moves",
        "mov",
        Habits(copies=True, set_mtime=("writes", "end")),
    ),
)

ODD = (
    Manner(
        "stall",
        "a recorder that stands still for 8 s twice (SIGSTOP, full buffer), file open",
        "mxf-op1a",
        Habits(pause_at=(0.3, 0.7)),
    ),
    Manner("slow-start", "encoders waiting for signal: 0 bytes for a while", "mov", Habits(start_delay_s=10)),
    Manner(
        "head-first",
        "WAV, Matroska: only the head for a while",
        "wav",
        Habits(start_delay_s=10, start_with="head"),
    ),
    Manner("crash", "a recorder killed in the middle: nothing is closed", "mxf-op1a", Habits(crash_at=0.6)),
    Manner(
        "shrink",
        "an aborted recorder: cut to a quarter, another take goes on from there",
        "raw",
        Habits(shrink_at=0.6),
    ),
    Manner("restart", "a recorder that begins again in the same file", "mov", Habits(restart_at=0.5)),
    Manner(
        "restart-new",
        "a recorder that deletes its file and begins a new one",
        "mov",
        Habits(restart_at=0.5, restart="new-file"),
    ),
    Manner(
        "hole",
        "a lost range: complete to the eye, a hole in the middle",
        "mp4-faststart",
        Habits(copies=True, hole_at=0.5),
    ),
    Manner(
        "mmap",
        "writers through a memory mapping: pages change without a write",
        "raw",
        Habits(mapped=True, allocate="truncate", live_patch_s=2),
    ),
    Manner(
        "hold-open",
        "recorders that keep the file open for 20 s after the last byte",
        "mxf-op1a",
        Habits(hold_s=20),
    ),
    Manner(
        "touch-later",
        "Premiere XMP: the finished file changed again after 15 s",
        "mov",
        Habits(touch_after_s=15),
    ),
    Manner(
        "patch-list",
        "unknown recorders: some places rewritten at the end",
        "raw",
        Habits(patch_list=((0, 6_144), (262_144, 4_096), (4_200_000, 512))),
    ),
    Manner(
        "patch-every",
        "unknown recorders: something rewritten every 10 MB at the end",
        "raw",
        Habits(patch_every_bytes=10_000_000),
    ),
    Manner(
        "patch-live",
        "unknown recorders: 2.6 MB behind the tail, every second",
        "raw",
        Habits(live_patch_s=1, live_place="behind"),
    ),
    Manner(
        "patch-slots",
        "unknown recorders: two slots in the head by turns, every 2 s",
        "raw",
        Habits(live_patch_s=2, live_place="slots", sync=True),
    ),
    Manner(
        "opatom-group",
        "Avid OPAtom: picture and two sounds, closed 300 ms apart",
        "mxf-avid",
        Habits(members=("_v1", "_a1", "_a2"), skew_s=0.3),
    ),
    Manner("xdcam-group", "XDCAM: clip, then its XML", "mxf-rdd9", Habits(sidecar="{stem}M01.XML", skew_s=1)),
)

MANNERS = {manner.name: manner for manner in (*RECORDERS, *COPIES, *ODD)}
