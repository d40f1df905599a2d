CREATE TABLE docs (
	kind    TEXT    NOT NULL,
	id      TEXT    NOT NULL,
	rev     INTEGER NOT NULL,
	updated INTEGER NOT NULL, -- microseconds since 1970, UTC
	body    BLOB    NOT NULL,
	PRIMARY KEY (kind, id)
) STRICT;

CREATE TABLE doc_index (
	kind  TEXT NOT NULL,
	id    TEXT NOT NULL,
	field TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (kind, id, field),
	FOREIGN KEY (kind, id) REFERENCES docs (kind, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX doc_index_value ON doc_index (kind, field, value, id);
