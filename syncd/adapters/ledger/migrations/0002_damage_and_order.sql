-- Flipped bytes are noticed, files that end the process are counted, a lost ledger is known for one, large files stand
-- apart in the queue, and a person can pause it all.

ALTER TABLE transfer ADD COLUMN strikes       INTEGER NOT NULL DEFAULT 0 CHECK (strikes >= 0);
ALTER TABLE transfer ADD COLUMN seal          INTEGER;

ALTER TABLE folder ADD COLUMN first_scan_upto INTEGER;
UPDATE folder SET first_scan_upto = (SELECT coalesce(max(id), 0) FROM transfer);

ALTER TABLE totals ADD COLUMN begun_at         REAL;
ALTER TABLE totals ADD COLUMN begun_because    TEXT;

DROP INDEX due;
CREATE INDEX due ON transfer (folder, size >= 16777216, not_before, id)
    WHERE parked_reason IS NULL AND state IN ('settled', 'planned', 'creating', 'uploading', 'completing', 'verified');

CREATE TABLE pause (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    since REAL NOT NULL,
    until REAL
) STRICT;

ALTER TABLE abort_queue ADD COLUMN since REAL;
