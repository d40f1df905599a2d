#!/bin/sh
# Installs what make bench-sinkhole measures against, on Debian, as root: the
# servers from packages, CoreDNS through the Go module proxy into the cache
# folder.
set -eu
export DEBIAN_FRONTEND=noninteractive
# The packages would start their servers; the benchmark starts its own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
	trap 'rm -f "$policy"' EXIT
fi
apt-get update -q
apt-get install -q -y --no-install-recommends \
	knot knot-module-dnstap nsd bind9 nginx-light fstrm-bin wrk dnsperf iproute2 util-linux
cache=${XDG_CACHE_HOME:-$HOME/.cache}/impound-bench
version=${COREDNS_VERSION:-v1.12.4}
if [ ! -x "$cache/coredns" ]; then
	mkdir -p "$cache"
	build=$(mktemp -d)
	cd "$build"
	printf 'module bench/coredns\n\ngo 1.24\n' >go.mod
	go get "github.com/coredns/coredns@$version"
	CGO_ENABLED=0 go build -trimpath -o "$cache/coredns" github.com/coredns/coredns
	cd /
	rm -rf "$build"
fi
"$cache/coredns" -version
