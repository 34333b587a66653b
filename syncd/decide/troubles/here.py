"""What may be wrong on this machine: with the configuration, with who asks, with limits, ledger and folders."""

from __future__ import annotations

from syncd.decide.findings import Check
from syncd.decide.troubles import FAIL, WARN, Trouble

# -- what the operator wrote, and who asks

WRONG_KEY = Trouble(Check.CONFIGURATION, FAIL, "{key} {text}", "{hint}")
DOUBTFUL_KEY = Trouble(Check.CONFIGURATION, WARN, "{key} {text}", "{hint}")
OTHER_USER = Trouble(
    Check.USER,
    WARN,
    "this runs as {me}, the ledger is {owner}'s: rights are judged for {me}, not for the daemon",
    "run it as the daemon's user: sudo -u {owner} syncd doctor -c FILE",
)

# -- the machine

FEW_WATCHES = Trouble(
    Check.WATCHES,
    WARN,
    "{directories} directories are to be watched, the kernel allows {limit}: the others are found by scans",
    "raise it (sysctl fs.inotify.max_user_watches={wanted}), or set watch: poll and a shorter rescan",
)
NO_INSTANCE = Trouble(
    Check.WATCHES,
    WARN,
    "the kernel has no inotify instance left for this user: files are found by scans",
    "raise sysctl fs.inotify.max_user_instances, or set watch: poll and a shorter rescan",
)
FEW_DESCRIPTORS = Trouble(
    Check.DESCRIPTORS,
    WARN,
    "{limit} files may be open at once, {wanted} may be needed",
    "set LimitNOFILE=1024 in the unit (systemctl edit syncd), or lower upload.files and upload.parts",
)
LEDGER_UNWRITABLE = Trouble(
    Check.LEDGER,
    FAIL,
    "{directory} cannot be written by {me}: {reason}",
    "give it to the daemon's user (chown, or StateDirectory=syncd in the unit), or set the key `state`",
)
LEDGER_NOT_MADE = Trouble(
    Check.LEDGER,
    WARN,
    "its place below {directory} is not made yet, and {me} may not make it",
    "`systemctl start syncd`, whose StateDirectory= makes it, or set `state` to a path that is there",
)
LEDGER_FAR = Trouble(
    Check.LEDGER,
    WARN,
    "{directory} lies on a network file system, where a ledger can be damaged",
    "set `state` to a path on a disk of this machine",
)
LEDGER_EXPOSED = Trouble(
    Check.LEDGER,
    WARN,
    "{path} has mode {mode}: others than the daemon's user may look or write there",
    "chmod go= {path}",
)
LEDGER_FULL = Trouble(
    Check.LEDGER_SPACE,
    FAIL,
    "{free} free at {directory}: nothing can be recorded, so nothing is sent",
    "free some space at {directory}, or set `state` to a path on another disk",
)
LEDGER_TIGHT = Trouble(
    Check.LEDGER_SPACE,
    WARN,
    "only {free} free at {directory}",
    "free some space at {directory}, or set `state` to a path on another disk",
)

# -- the folders

FOLDER_AWAY = Trouble(
    Check.FOLDER, FAIL, "{error}", "{hint}; else mend folders[].path, or take the folder out"
)
FOLDER_UNMOUNTED = Trouble(
    Check.FOLDER,
    FAIL,
    "nothing is mounted at {path}, which the configuration requires",
    "mount it, or set require_mount: false",
)
FOLDER_FULL = Trouble(
    Check.FOLDER_SPACE,
    WARN,
    "only {free} free at {path}",
    "free some space at {path}, or set after_upload: delete so that what is proven goes",
)
WRITERS_REQUIRED = Trouble(
    Check.WRITERS,
    FAIL,
    "whether a program still writes a file of {path} cannot be told, and not_open: require waits for it for ever",
    "set AmbientCapabilities=CAP_LEASE in the unit, or complete_when.not_open: auto with a marker",
)
WRITERS_UNKNOWN = Trouble(
    Check.WRITERS,
    WARN,
    "whether a program still writes a file of {path} cannot be told: every file is kept, not {word}",
    "set complete_when.marker, a min_age of 1h or more, or AmbientCapabilities=CAP_LEASE in the unit",
)
READ_ONLY = Trouble(
    Check.DISPOSAL,
    FAIL,
    "no file of {path} can be {word}: it is mounted read-only",
    "mount it for writing (mount -o remount,rw; ReadWritePaths={path} in the unit), or set after_upload: keep",
)
NOT_DISPOSABLE = Trouble(
    Check.DISPOSAL,
    FAIL,
    "no file of {where} can be {word}: {me} may not write there",
    "let {me} write there (setfacl -m u:{me}:rwx {where}), or set after_upload: keep",
)
STICKY = Trouble(
    Check.DISPOSAL,
    FAIL,
    "files of others in {where} cannot be {word}: its sticky bit leaves that to their owners",
    "take the sticky bit off (chmod -t {where}), or set after_upload: keep",
)
TARGET_AWAY = Trouble(
    Check.DISPOSAL,
    FAIL,
    "files of {path} are to be moved to {target}: {reason}",
    "make {target} a directory that {me} may write in, or mend after_upload.move.to",
)
UNPROVEN = Trouble(
    Check.DISPOSAL,
    WARN,
    "every file of {path} is kept, not {word}: only the size of what is stored is proven",
    "set destination.checksum to auto or md5",
)
