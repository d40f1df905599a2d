CREATE TABLE network (
  id INTEGER PRIMARY KEY,
  prefix TEXT NOT NULL, asn INTEGER NOT NULL, name TEXT NOT NULL, country TEXT NOT NULL,
  abuse TEXT NOT NULL, sector TEXT NOT NULL, kind TEXT NOT NULL,
  UNIQUE (prefix, asn, name, country, abuse, sector, kind)
) STRICT;

-- The sequence numbers that were ever taken, as stretches without a hole. It
-- outlives purged contacts, so that a purged one can't come back.
CREATE TABLE span (
  sensor TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
  PRIMARY KEY (sensor, first)
) STRICT, WITHOUT ROWID;

-- at is in microseconds since 1970, day in days since 1970. web is 0 for DNS,
-- and for contacts without an address, which are judged without looking around.
CREATE TABLE contact (
  sensor TEXT NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, day INTEGER NOT NULL,
  source TEXT NOT NULL, web INTEGER NOT NULL, proto TEXT NOT NULL,
  case_id TEXT NOT NULL, ord TEXT NOT NULL, zone TEXT NOT NULL,
  class TEXT NOT NULL, confidence REAL NOT NULL, reasons TEXT NOT NULL,
  network INTEGER NOT NULL REFERENCES network, lure_hash TEXT NOT NULL,
  event TEXT NOT NULL,
  PRIMARY KEY (sensor, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX contact_at ON contact (at, sensor, seq);
CREATE INDEX contact_case ON contact (case_id, at, sensor, seq);
CREATE INDEX contact_order ON contact (ord, at);
CREATE INDEX contact_class ON contact (class, at);
CREATE INDEX contact_source ON contact (source, day) WHERE web = 1;

-- step and at in seconds. No address: it may be kept.
CREATE TABLE rollup (
  step INTEGER NOT NULL, at INTEGER NOT NULL,
  case_id TEXT NOT NULL, ord TEXT NOT NULL, zone TEXT NOT NULL, class TEXT NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (step, at, case_id, ord, zone, class)
) STRICT, WITHOUT ROWID;

CREATE TABLE version (one INTEGER PRIMARY KEY CHECK (one = 1), n INTEGER NOT NULL) STRICT;
INSERT INTO version VALUES (1, 0);
