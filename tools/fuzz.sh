#!/bin/sh
# Runs every fuzz target of the tree for a bounded time each. Usage: fuzz.sh 30s
set -eu
for file in $(git ls-files -co --exclude-standard '*_test.go'); do
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
		echo "== ./$(dirname "$file") $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$1" -fuzzminimizetime 20x "./$(dirname "$file")"
	done
done
