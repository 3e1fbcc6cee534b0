"""Profiles: writers as they are found in the field, each a container and a set of options."""

from attrs import field, frozen

from agent.config.units import KIB, MIB
from agent.simulate.options import WriterOptions


@frozen
class Profile:
    """`models` names, in one line, the real writers that behave this way."""

    name: str
    models: str
    container: str
    options: WriterOptions = field(factory=WriterOptions)


_COPY = WriterOptions(copies=True)
_RENAMED = WriterOptions(copies=True, temp_name=".{name}.{random}", set_mtime=("end",))

RECORDERS = (
    Profile(
        "mxf-op1a", "ffmpeg, bmx: MXF OP1a, header and each body partition rewritten at close", "mxf-op1a"
    ),
    Profile(
        "mxf-d10", "IMX/D10, AVC-Intra, DNxHD in MXF: one body, 5 KB header rewritten at close", "mxf-d10"
    ),
    Profile("mxf-rdd9", "XDCAM HD (RDD 9): body partition every 10 s, 16 KB header rewritten", "mxf-rdd9"),
    Profile("mxf-part", "bmx --part: many body partitions, 22 KB header rewritten", "mxf-part"),
    Profile("mxf-as11", "AS-11: rewritten up to offset 4.2 MB at close", "mxf-as11"),
    Profile(
        "mxf-avid", "Avid OPAtom, clip-wrapped: 262 KB header and the essence's length at close", "mxf-avid"
    ),
    Profile(
        "mxf-avid-growing",
        "Avid growing file: says 'closed' and names a footer while it records",
        "mxf-avid-growing",
    ),
    Profile("mxf-single-pass", "bmx single pass: nothing is ever rewritten", "mxf-single-pass"),
    Profile(
        "mxf-duration",
        "edit-while-ingest: the header is rewritten every 10 s while recording",
        "mxf-duration",
    ),
    Profile(
        "mxf-headroom",
        "IPV-like ingest: provisional footer every 10 s, overwritten by essence",
        "mxf-headroom",
    ),
    Profile("mov", "ffmpeg, cameras: mdat size filled in at close, then moov appended", "mov"),
    Profile("mp4", "the same as MP4", "mp4"),
    Profile(
        "faststart", "ffmpeg +faststart: at close the whole file is moved back behind moov", "mp4-faststart"
    ),
    Profile(
        "moov-reserved", "ffmpeg -moov_size, GStreamer: moov written into its place at close", "mp4-reserved"
    ),
    Profile(
        "fragmented",
        "ffmpeg +frag_keyframe: fragments, index at the end, nothing rewritten",
        "mp4-fragmented",
    ),
    Profile(
        "fragmented-live", "DASH/CMAF encoders: fragments without an index, never says complete", "mp4-live"
    ),
    Profile(
        "hybrid", "OBS hybrid MP4, GStreamer finalise: fragments become a plain MP4 at close", "mp4-hybrid"
    ),
    Profile(
        "gstreamer-robust",
        "GStreamer robust MOV: moov rewritten every 2 s, two slots by turns, synced",
        "mov-robust",
        WriterOptions(sync=True),
    ),
    Profile("matroska", "ffmpeg, OBS: head filled in at close", "mkv"),
    Profile(
        "matroska-cues-front",
        "ffmpeg -cues_to_front: at close the whole file is moved back",
        "mkv-cues-front",
    ),
    Profile(
        "gstreamer-matroska", "GStreamer matroskamux: every second a size behind the tail", "mkv-backpatching"
    ),
    Profile("matroska-live", "streaming Matroska: nothing filled in, never says complete", "mkv-live"),
    Profile("wav", "sound recorders: two sizes filled in at close", "wav"),
    Profile("bwf", "Broadcast Wave recorders: the same behind a bext chunk", "bwf"),
    Profile("rf64", "ffmpeg -rf64, BW64: JUNK becomes ds64 at close", "rf64"),
    Profile("avi", "capture cards: index appended, then sizes in the head", "avi"),
    Profile("ts", "encoders, DVB recorders: packets, nothing rewritten", "ts"),
    Profile(
        "hls",
        "ffmpeg hls temp_file: a whole segment at once as .tmp, then renamed",
        "ts",
        WriterOptions(burst=True, temp_name="{name}.tmp"),
    ),
    Profile("append", "logs, data recorders: append, nothing else", "raw"),
)

COPIES = (
    Profile("cp", "cp, dd, scp: grows under the final name", "mxf-op1a", _COPY),
    Profile(
        "cp-preserve",
        "cp -p, shutil.copy2, mv from another disk: old times as the last act",
        "mxf-op1a",
        WriterOptions(copies=True, set_mtime=("end",)),
    ),
    Profile("rsync", "rsync: hidden temporary name, times set, renamed", "mov", _RENAMED),
    Profile(
        "rsync-inplace",
        "rsync --inplace: final name, old times at the end",
        "mov",
        WriterOptions(copies=True, set_mtime=("end",)),
    ),
    Profile(
        "rsync-preallocate",
        "rsync --inplace --preallocate: storage from the start, size grows",
        "mov",
        WriterOptions(copies=True, allocate="keep-size", set_mtime=("end",)),
    ),
    Profile(
        "ftp",
        "FTP upload under the final name, with stalls",
        "mxf-op1a",
        WriterOptions(copies=True, write_bytes=64 * KIB, jitter=0.5),
    ),
    Profile(
        "ftp-resume",
        "FTP REST/APPE, rsync --append: closed in the middle, opened again and continued",
        "mxf-op1a",
        WriterOptions(copies=True, pause_at=(0.5,), pause_s=4, pause_closed=True),
    ),
    Profile(
        "ftp-allocate",
        "FTP ALLO, download managers: final size at once, then filled",
        "mov",
        WriterOptions(copies=True, allocate="truncate"),
    ),
    Profile(
        "rename-at-end",
        "FTP servers, browsers, Resolve: .part until the end",
        "mxf-op1a",
        WriterOptions(copies=True, temp_name="{name}.part"),
    ),
    Profile(
        "rename-over",
        "editors, safe savers: a new file renamed over an older one",
        "mov",
        WriterOptions(copies=True, temp_name="{name}.tmp", replaces=True),
    ),
    Profile(
        "smb-eof-first",
        "Explorer, Finder over SMB: final size at once, old times at start and end",
        "mp4-faststart",
        WriterOptions(copies=True, allocate="truncate", set_mtime=("start", "end"), write_bytes=MIB),
    ),
    Profile(
        "fallocate",
        "Samba strict allocate: size and storage final from the start",
        "mp4-faststart",
        WriterOptions(copies=True, allocate="fallocate", write_bytes=MIB),
    ),
    Profile(
        "interleaved",
        "multi-stream transfers: four ranges at once, holes between them",
        "mxf-op1a",
        WriterOptions(copies=True, allocate="truncate", order="interleaved"),
    ),
    Profile(
        "tail-first",
        "clients that probe the end first: the tail, then the rest",
        "mxf-op1a",
        WriterOptions(copies=True, allocate="truncate", order="tail-first"),
    ),
    Profile(
        "nfs-writeback",
        "NFS write-back, torrents: pages arrive in any order",
        "mov",
        WriterOptions(copies=True, order="random"),
    ),
    Profile(
        "times-while-writing",
        "copiers that set the old times after every write: mtime never moves",
        "mov",
        WriterOptions(copies=True, set_mtime=("writes", "end")),
    ),
)

ODD = (
    Profile(
        "stall",
        "a recorder that stalls for 8 s twice (SIGSTOP, full buffer), file open",
        "mxf-op1a",
        WriterOptions(pause_at=(0.3, 0.7)),
    ),
    Profile(
        "slow-start",
        "encoders waiting for signal: 0 bytes for a while",
        "mov",
        WriterOptions(start_delay_s=10),
    ),
    Profile(
        "head-first",
        "WAV, Matroska: only the head for a while",
        "wav",
        WriterOptions(start_delay_s=10, start_with="head"),
    ),
    Profile(
        "crash", "a recorder killed in the middle: nothing is closed", "mxf-op1a", WriterOptions(crash_at=0.6)
    ),
    Profile(
        "shrink",
        "an aborted recorder: cut to a quarter, then continued with other bytes",
        "raw",
        WriterOptions(shrink_at=0.6),
    ),
    Profile("restart", "a recorder that begins again in the same file", "mov", WriterOptions(restart_at=0.5)),
    Profile(
        "restart-new",
        "a recorder that deletes its file and begins a new one",
        "mov",
        WriterOptions(restart_at=0.5, restart="new-file"),
    ),
    Profile(
        "hole",
        "a lost range: looks complete, a hole in the middle",
        "mp4-faststart",
        WriterOptions(copies=True, hole_at=0.5),
    ),
    Profile(
        "mmap",
        "writers through a memory mapping: pages change without a write",
        "raw",
        WriterOptions(mapped=True, allocate="truncate", live_patch_s=2),
    ),
    Profile(
        "hold-open",
        "recorders that keep the file open for 20 s after the last byte",
        "mxf-op1a",
        WriterOptions(hold_s=20),
    ),
    Profile(
        "touch-later",
        "Premiere XMP: the finished file changed again after 15 s",
        "mov",
        WriterOptions(touch_after_s=15),
    ),
    Profile(
        "patch-list",
        "unknown recorders: some places rewritten at the end",
        "raw",
        WriterOptions(patch_list=((0, 6_144), (262_144, 4_096), (4_200_000, 512))),
    ),
    Profile(
        "patch-every",
        "unknown recorders: something rewritten every 10 MB at the end",
        "raw",
        WriterOptions(patch_every_bytes=10_000_000),
    ),
    Profile(
        "patch-live",
        "unknown recorders: 2.6 MB behind the tail, every second",
        "raw",
        WriterOptions(live_patch_s=1, live_place="behind"),
    ),
    Profile(
        "patch-slots",
        "unknown recorders: two slots in the head by turns, every 2 s",
        "raw",
        WriterOptions(live_patch_s=2, live_place="slots", sync=True),
    ),
    Profile(
        "opatom-group",
        "Avid OPAtom: picture and two sounds, closed 300 ms apart",
        "mxf-avid",
        WriterOptions(members=("_v1", "_a1", "_a2"), skew_s=0.3),
    ),
    Profile(
        "xdcam-group",
        "XDCAM: clip, then its XML",
        "mxf-rdd9",
        WriterOptions(sidecar="{stem}M01.XML", skew_s=1),
    ),
)

PROFILES = {profile.name: profile for profile in (*RECORDERS, *COPIES, *ODD)}
