#!/bin/sh
# Prints which peers the tests ran against and which they skipped. Usage: peers.sh LOG
log=$1
[ -s "$log" ] || { echo "peers: no test asked for a real program"; exit 0; }
echo
echo "peers found and run against:"
awk -F'\t' '$1 == "found" { print "  " $2 }' "$log" | sort -u
if grep -q '^skipped' "$log"; then
	echo "peers NOT here, their tests skipped:"
	awk -F'\t' '$1 == "skipped" { print "  " $2 ": " $3 }' "$log" | sort -u
fi
