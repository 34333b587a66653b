-- The ledger, readable whole. Names are bytes; times are seconds since the epoch, UTC; sizes are bytes.
-- A fresh ledger is made from this file; tests prove that the numbered migrations lead to the same.

-- One version of one file on its way, or arrived. A row in a state other than superseded and vanished stands for its path.
CREATE TABLE transfer (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    folder        BLOB    NOT NULL,
    path          BLOB    NOT NULL CHECK (length(path) > 0),
    dev           INTEGER NOT NULL,
    inode         INTEGER NOT NULL,
    size          INTEGER NOT NULL CHECK (size >= 0),
    mtime_ns      INTEGER NOT NULL,
    ctime_ns      INTEGER NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN (
        'discovered', 'settled', 'planned', 'creating', 'uploading', 'completing', 'verified', 'done',
        'superseded', 'vanished')),
    discovered_at REAL    NOT NULL,
    not_before    REAL    NOT NULL DEFAULT 0,
    parked_reason TEXT,
    hint          TEXT,
    attempts      INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- fixed at `planned`; part_size NULL means one PutObject
    bucket        TEXT,
    key           TEXT,
    part_size     INTEGER CHECK (part_size > 0),
    algorithm     TEXT CHECK (algorithm IN ('crc64nvme', 'crc32', 'crc32c', 'sha256', 'md5', 'none')),
    token         TEXT,
    if_none_match INTEGER NOT NULL DEFAULT 0 CHECK (if_none_match IN (0, 1)),
    if_match      TEXT,
    -- what came of it
    upload_id     TEXT,
    started_at    REAL,
    finished_at   REAL,
    etag          TEXT,
    checksum      TEXT,
    proof_kind    TEXT CHECK (proof_kind IN ('checksum', 'md5', 'md5-parts', 'size')),
    proof_value   TEXT,
    proof_by      TEXT,
    sent_bytes    INTEGER NOT NULL DEFAULT 0,
    resent_bytes  INTEGER NOT NULL DEFAULT 0,
    gone_at       REAL,
    -- how often in a row its handling ended the process; back to 0 whenever it gets on
    strikes       INTEGER NOT NULL DEFAULT 0 CHECK (strikes >= 0),
    -- a sum over all that decides what becomes of the file, so that flipped bytes are noticed; NULL is not compared
    seal          INTEGER,
    CHECK (state IN ('discovered', 'settled', 'superseded', 'vanished')
           OR (bucket IS NOT NULL AND key IS NOT NULL AND algorithm IS NOT NULL AND token IS NOT NULL)),
    CHECK (state <> 'creating' OR part_size IS NOT NULL),
    CHECK (state <> 'uploading' OR (upload_id IS NOT NULL AND part_size IS NOT NULL)),
    CHECK (state <> 'completing' OR (upload_id IS NOT NULL) = (part_size IS NOT NULL)),
    CHECK (state NOT IN ('verified', 'done') OR (proof_kind IS NOT NULL AND etag IS NOT NULL)),
    CHECK (if_none_match = 0 OR if_match IS NULL),
    CHECK (gone_at IS NULL OR state IN ('done', 'superseded'))
) STRICT;

CREATE UNIQUE INDEX one_version_per_path ON transfer (folder, path) WHERE state NOT IN ('superseded', 'vanished');

CREATE UNIQUE INDEX one_live_transfer_per_key ON transfer (bucket, key)
    WHERE state IN ('planned', 'creating', 'uploading', 'completing', 'verified');

-- The queue is this index. Large files stand apart, so that neither kind hides the other (decide/order.py).
CREATE INDEX due ON transfer (folder, size >= 16777216, not_before, id)
    WHERE parked_reason IS NULL AND state IN ('settled', 'planned', 'creating', 'uploading', 'completing', 'verified');

CREATE INDEX live ON transfer (id) WHERE state NOT IN ('done', 'superseded', 'vanished');

CREATE INDEX by_file ON transfer (inode, size, mtime_ns) WHERE state NOT IN ('superseded', 'vanished');

CREATE INDEX by_key ON transfer (bucket, key, id) WHERE proof_kind IS NOT NULL;

CREATE INDEX by_token ON transfer (token) WHERE token IS NOT NULL;

CREATE INDEX by_path ON transfer (folder, path, id);

-- For counting only: a million files that arrived must not be walked each time somebody asks how things stand.
CREATE INDEX arrived ON transfer (folder) WHERE state = 'done' AND gone_at IS NULL;

CREATE INDEX gone ON transfer (id) WHERE gone_at IS NOT NULL;

CREATE INDEX over ON transfer (state) WHERE state IN ('superseded', 'vanished');

-- A part is here if and only if S3 acknowledged it.
CREATE TABLE part (
    transfer INTEGER NOT NULL REFERENCES transfer (id) ON DELETE CASCADE,
    number   INTEGER NOT NULL CHECK (number BETWEEN 1 AND 10000),
    size     INTEGER NOT NULL CHECK (size >= 0),
    etag     TEXT    NOT NULL CHECK (etag <> ''),
    checksum TEXT,
    PRIMARY KEY (transfer, number)
) STRICT, WITHOUT ROWID;

-- Every move of every transfer, and why. Support reads this first.
CREATE TABLE history (
    id       INTEGER PRIMARY KEY,
    transfer INTEGER NOT NULL REFERENCES transfer (id) ON DELETE CASCADE,
    at       REAL    NOT NULL,
    state    TEXT    NOT NULL,
    why      TEXT    NOT NULL
) STRICT;

CREATE INDEX history_of ON history (transfer, id);

-- Uploads given up, to be aborted at the destination.
-- With `since`, whether there is one is not known: all of the key that were opened since, and `upload_id` is a token.
CREATE TABLE abort_queue (
    upload_id  TEXT PRIMARY KEY,
    bucket     TEXT NOT NULL,
    key        TEXT NOT NULL,
    not_before REAL NOT NULL DEFAULT 0,
    since      REAL
) STRICT, WITHOUT ROWID;

-- Which directory a folder's path led to when we last accepted it. Rows up to `first_scan_upto` were found by the first
-- scan that this ledger saw to its end (NULL: by one that still goes on): an earlier ledger may have known their files.
CREATE TABLE folder (
    path       BLOB    PRIMARY KEY,
    dev        INTEGER NOT NULL,
    inode      INTEGER NOT NULL,
    filesystem INTEGER NOT NULL,
    first_scan_upto INTEGER
) STRICT, WITHOUT ROWID;

-- What a destination (endpoint and bucket) has turned out not to do.
CREATE TABLE destination (
    name                TEXT PRIMARY KEY,
    checksum_ignored_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- A person wants nothing to be sent for a while; `until` NULL: until they say otherwise.
CREATE TABLE pause (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    since REAL NOT NULL,
    until REAL
) STRICT;

CREATE TABLE totals (
    id               INTEGER PRIMARY KEY CHECK (id = 1),
    sent_bytes       INTEGER NOT NULL DEFAULT 0,
    resent_bytes     INTEGER NOT NULL DEFAULT 0,
    possible_orphans INTEGER NOT NULL DEFAULT 0,
    last_success_at  REAL,
    -- when and why this ledger took the place of an earlier one that was damaged or lost
    begun_at         REAL,
    begun_because    TEXT
) STRICT;

INSERT INTO totals (id) VALUES (1);
