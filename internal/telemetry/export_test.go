package telemetry

import "context"

// OpenSQLite opens the engine alone, for the contract suite.
func OpenSQLite(ctx context.Context, path string) (Engine, error) { return openSQLite(ctx, path) }

// SchemaSQL makes a file as version 1 did.
var SchemaSQL = schemaSQL
