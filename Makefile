# make run: the whole way of a name, on this machine. make test: all tests.
GO ?= go
export CGO_ENABLED ?= 0
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/impound/impound/internal/cli.version=$(VERSION)

.PHONY: run build test race lint fuzz faults model bench bench-sinkhole bench-seizure bench-casework bench-watch ctlog eval-watch eval-gates clean

build: bin/impound bin/testregistry

bin/impound bin/testregistry: FORCE
	@$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/$(@F)
FORCE:

run:
	@echo "building impound (the first time this takes a minute or two) ..."
	@$(MAKE) --no-print-directory build
	@exec ./bin/impound demo

# All tests, and then which real programs they ran against.
test: build
	@rm -f bin/peers.log
	@IMPOUND_PEER_LOG=$(CURDIR)/bin/peers.log $(GO) test -timeout 20m ./... ; code=$$? ; sh tools/peers.sh bin/peers.log ; exit $$code

# The race detector needs cgo, and so a C compiler. The walkthroughs run the program
# as users do, built without it, so they have nothing to show here.
race:
	CGO_ENABLED=1 $(GO) test -race -timeout 40m $$($(GO) list ./... | grep -v /test/walkthrough)

lint:
	$(GO) vet ./...
	@bad=$$(gofmt -l .); test -z "$$bad" || { echo "not gofmt-ed: $$bad"; exit 1; }
	$(GO) tool -modfile=tools/go.mod staticcheck ./...

# Every fuzz target for FUZZTIME each.
FUZZTIME ?= 30s
fuzz:
	@sh tools/fuzz.sh $(FUZZTIME)

# Faults tried for real, at full size: minutes, and best as root, for it mounts a
# small disk and opens many files. Each prints its counts.
faults:
	IMPOUND_FAULTS=long $(GO) test -count=1 -timeout 60m -v ./test/faults
	IMPOUND_FAULTS=long $(GO) test -count=1 -timeout 60m -v -run 'TestKilled$$' ./internal/laws

# Random orders, worlds, faults and crashes against the laws of seizure: 100,000
# steps and more, some minutes. Prints its counts.
model:
	IMPOUND_MODEL=long $(GO) test -count=1 -timeout 60m -v -run 'TestModel$$' ./internal/seizure

# Benchmarks: ratios against real peers, a JSON line a measure into $$BENCH_OUT.
bench:
	@$(GO) build -trimpath -o bin/benchlines ./cmd/benchlines
	$(GO) test -run '^$$' -bench . -benchtime 1s ./... 2>&1 | ./bin/benchlines

# The sinkhole against Knot, NSD, BIND, CoreDNS and nginx, about 15 minutes:
# docs/performance.md. The peers come from tools/bench-peers.sh. As root, for the
# files it opens and a name for wrk. BENCH_FLAGS: -quick, -only REGEX, -rounds N.
bench-sinkhole:
	@$(GO) build -trimpath -o bin/benchsinkhole ./cmd/benchsinkhole
	@exec ./bin/benchsinkhole $(BENCH_FLAGS)

# 10,000 names at 20 practice registries that fail on purpose, at one instant.
bench-seizure:
	@$(GO) build -trimpath -o bin/benchseizure ./cmd/benchseizure
	@exec ./bin/benchseizure $(BENCH_FLAGS)

# A real CT log (Sunlight and Skylight, by exact version) for tests and for
# bench-watch. It needs a C compiler, and some minutes the first time.
ctlog:
	cd tools/ctlog && CGO_ENABLED=1 $(GO) build -trimpath -ldflags '-s -w' -o $(CURDIR)/bin/ctlog/ filippo.io/sunlight/cmd/sunlight filippo.io/sunlight/cmd/skylight

# The watch: a real CT log at full speed, names a second, zone files.
# DATA=folder for real names; BENCH_FLAGS: -h shows them.
bench-watch:
	@$(GO) build -trimpath -o bin/benchwatch ./cmd/benchwatch
	@exec ./bin/benchwatch -data "$(DATA)" $(BENCH_FLAGS)

# What a person waits for where a case has 10,000 names and the evidence log a
# million entries: every page and every command that reads, then the acts on
# 10,000 names. Making the state takes some minutes; BENCH_FLAGS="-state DIR"
# keeps it.
bench-casework: bin/impound
	@$(GO) build -trimpath -o bin/benchcasework ./cmd/benchcasework
	@exec ./bin/benchcasework $(BENCH_FLAGS)

# How well watch finds, on a folder of data that is not ours to ship: figures
# split by time. make eval-watch DATA=folder
eval-watch:
	$(GO) run ./cmd/evalwatch -data $(DATA)

# The safety gates on names that actors used: rates per actor, 50 reasons.
# make eval-gates DATA=folder
eval-gates:
	$(GO) run ./cmd/evalgates -data $(DATA) $(EVAL_FLAGS)

clean:
	rm -rf bin impound-demo
