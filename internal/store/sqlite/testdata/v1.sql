-- A database as schema 1 wrote it. Never edit this file.
PRAGMA application_id=1768779825;
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('schema', 1), ('version', 41);
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
INSERT INTO docs VALUES ('case', 'C-1', 3, 1774603800123456, CAST('{"title":"Ж"}' AS BLOB));
INSERT INTO docs VALUES ('case', 'C-2', 1, 1774603800123456, CAST('{}' AS BLOB));
INSERT INTO doc_index VALUES ('case', 'C-1', 'owner', 'ana'), ('case', 'C-1', 'tlp', ''), ('case', 'C-2', 'owner', 'ben');
