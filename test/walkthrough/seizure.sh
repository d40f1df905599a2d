#!/bin/sh
# Walks a seizure from a signed order to the last name that is let go: T0 at four
# practice registries that fail on purpose, a supplement with Ctrl-C and kill -9 in
# the middle, drift that others cause and the plan that mends it, a lapse, a
# release. What was done is counted from the registries' own history. Everything
# is practice and on loopback: nothing leaves this machine.
#
#   usage: seizure.sh BIN NAMES SUPPLEMENT FOLDER
#
#   BIN         folder with the programs impound and testregistry
#   NAMES       names of the order, one a line; more may follow after a blank
#   SUPPLEMENT  names of the supplement, likewise
#   FOLDER      is made; state, registries and outputs stay there to be looked at
#
# It stops at the first step that does not do what it says, with exit code 1.
set -eu
bin=$(cd "$1" && pwd)
abs() { echo "$(cd "$(dirname "$1")" && pwd)/$(basename "$1")"; }
list1=$(abs "$2") list2=$(abs "$3") dir=$4
mkdir "$dir"
cd "$dir"
export IMPOUND_STATE="$PWD/state" TZ=UTC
mkdir state
begin=$(date +%s)
impound() { "$bin/impound" "$@"; }
step() { echo; echo "== $(($(date +%s) - begin)) s: $*"; }
die() { echo "seizure.sh: $*" >&2; exit 1; }
at() { date -u -d "$1" +%Y-%m-%dT%H:%M:%SZ; }
# refused CODE WORDS CMD...: the command must end with this code and say this.
refused() {
	want=$1 words=$2
	shift 2
	code=0
	"$@" >out.txt 2>&1 || code=$?
	[ $code = "$want" ] || { cat out.txt >&2; die "exit code $code, not $want: $*"; }
	grep -q -- "$words" out.txt || { cat out.txt >&2; die "does not say \"$words\": $*"; }
	echo "refused as it should be ($code): $(grep -m1 -- "$words" out.txt)"
}
# until_true SECONDS CMD...: the command must succeed within so long.
until_true() {
	end=$(($(date +%s) + $1))
	shift
	until "$@"; do
		[ "$(date +%s)" -lt $end ] || return 1
		sleep 0.25
	done
}
pids=
trap 'kill $pids 2>/dev/null || true' EXIT
trap 'exit 1' INT TERM

clean() { awk 'NF && !/^#/ {print $1}' "$1" | sed 's/\[\.\]/./g' | tr A-Z a-z | sort -u; }
clean "$list1" >names.txt
clean "$list2" >more.txt
count=$(wc -l <names.txt) extra=$(wc -l <more.txt)
[ "$count" -gt 5 ] && [ "$extra" -gt 5 ] || die "$count and $extra names: too few to walk with"
cat names.txt more.txt | sort | uniq -d | grep . && die "these names are in both lists"
short="short-$(head -1 names.txt)" # for an order that lapses

step "four practice registries that fail on purpose"
# Each top-level domain has its registry; .com and .net share one, as they do.
cat names.txt more.txt | sed 's/.*\.//' | sort -u |
	awk '{r = ($1 == "com" || $1 == "net") ? 1 : 2 + k++ % 3; print $1, r}' >tlds.txt
# Below what systems give to whoever dials out.
sinkport=${IMPOUND_WALK_DNS:-$((10000 + $$ % 11000 * 2))} webport=${IMPOUND_WALK_WEB:-$((10001 + $$ % 11000 * 2))}
start() { # start REGISTRY FLAGS...
	r=$1
	shift
	set -- "$@" --route "127.53.0.99:53=127.0.0.1:$sinkport" --host ns1.sinkhole.internal=127.53.0.99 --host ns2.sinkhole-two.internal=127.53.0.99
	for t in $(awk -v r="$r" '$2 == r {print $1}' tlds.txt); do
		set -- "$@" --tld "$t"
		for n in $(grep "\.$t\$" all.txt || true); do set -- "$@" --domain "$n"; done
	done
	"$bin/testregistry" --dir "reg$r" --hostile --seed "$r" "$@" --epp 127.0.0.1:0 --rdap 127.0.0.1:0 --dns 127.0.0.1:0 \
		--resolver 127.0.0.1:0 --actor-dns 127.0.0.1:0 --actor-http 127.0.0.1:0 >"reg$r.log" 2>&1 &
	pids="$pids $!"
	eval "pid_$r=$!"
	until_true 20 grep -q '^EPP accounts' "reg$r.log" || { cat "reg$r.log" >&2; die "practice registry $r does not start"; }
}
addr() { sed -n "s/^  $2 *\(127[^ ]*\)$/\1/p" "reg$1.log"; }
{ cat names.txt more.txt; echo "$short"; } | sort >all.txt
regs=$(awk '{print $2}' tlds.txt | sort -u)
set --
for r in $regs; do
	[ "$r" = 1 ] && continue
	start "$r"
	for t in $(awk -v r="$r" '$2 == r {print $1}' tlds.txt); do set -- "$@" --forward "$t=$(addr "$r" 'parent zones')"; done
done
case " $(echo $regs) " in *" 1 "*) ;; *) printf 'com 1\nnet 1\n' >>tlds.txt; regs="1 $regs" ;; esac
start 1 "$@" # its resolver knows the others' zones
printf registry-pw >state/password
chmod 600 state/password
{
	echo "resolvers: [\"$(addr 1 resolver)\"]"
	echo "routes: {\"127.53.0.66:53\": \"$(addr 1 'actor DNS')\", \"127.53.0.66:80\": \"$(addr 1 'actor HTTP')\", \"127.53.0.99:53\": \"127.0.0.1:$sinkport\"}"
	echo "sinkhole: {listen: [\"dns://127.0.0.1:$sinkport\"], answer: [127.53.0.99], ns: [ns1.sinkhole.internal, ns2.sinkhole-two.internal], hostmaster: hostmaster.unit.example, contact: Practice Crimes Unit}"
	echo "web: 127.0.0.1:$webport"
	echo "custody_every: off"
	echo "registries:"
	for r in $regs; do
		echo "  - {provider: reg$r, tlds: [$(awk -v r="$r" '$2 == r {print $1}' tlds.txt | paste -sd,)], role: registry, epp: \"$(addr "$r" EPP)\", ca: $PWD/reg$r/ca.pem,"
		echo "     client_id: registry, password_file: password, rdap: \"http://$(addr "$r" RDAP)\", parents: [\"$(addr "$r" 'parent zones')\"]}"
	done
} >state/impound.yaml
impound config check
for r in $regs; do echo "reg$r: $(awk -v r="$r" '$2 == r {print "." $1}' tlds.txt | paste -sd' '), $(grep -c '"command":"register"' "reg$r/journal.jsonl" || true) names"; done

# What the registries' own history says. A line a change that took effect.
history() { cat reg*/journal.jsonl | grep '"op":{' | grep '"client":"registry"' | grep '"code":1000' | grep "\"command\":\"$1\"" | sed 's/.*"name":"\([^"]*\)".*/\1/' | sort; }
names() { [ "$1" = 1 ] && echo "1 name" || echo "$1 names"; }
# updated FILE TIMES: each name of the file was updated so often, and took effect.
updated() {
	history domain:update | grep -Fxf "$1" | uniq -c | awk -v t="$2" '$1 != t {print; bad = 1} END {exit bad}' >bad.txt || { cat bad.txt >&2; die "these were not updated $2 times"; }
	n=$(history domain:update | grep -Fxf "$1" | uniq | wc -l)
	[ "$n" = "$(wc -l <"$1")" ] || die "$n of $(wc -l <"$1") names of $1 were updated"
	case $2 in 1) times=once ;; 2) times="twice in all" ;; *) times="$2 times in all" ;; esac
	echo "by the registries' history: $(names "$n") updated, each $times"
}
# shown ORDER: waits until every view of every name shows the order.
shown() {
	until_true 60 sh -c '"$1/impound" seize verify "$2" >verify.txt 2>&1' - "$bin" "$1" || { tail -5 verify.txt >&2; die "not every view shows order $1"; }
	echo "parent zone, RDAP and resolver show order $1 for $(names "$(grep -c as-ordered verify.txt)")"
}
# delegated FILE: each name of the file is delegated to the sinkhole, without a DS, as the parents say.
delegated() {
	for r in $regs; do
		a=$(addr "$r" 'parent zones')
		grep -E "\.($(awk -v r="$r" '$2 == r {print $1}' tlds.txt | paste -sd'|'))\$" "$1" | sed 's/$/ NS/' >ask.txt || continue
		dig @"${a%:*}" -p "${a#*:}" +norecurse +dnssec +noall +authority -f ask.txt
	done >parents.txt
	n=$(awk '$4 == "NS" && $5 ~ /^ns[12]\.sinkhole/ {print $1}' parents.txt | sort -u | wc -l)
	other=$(awk '$4 == "NS" && $5 !~ /^ns[12]\.sinkhole/ || $4 == "DS" {print $1, $4, $5}' parents.txt)
	[ "$n" = "$(wc -l <"$1")" ] && [ -z "$other" ] || { echo "$other" >&2; die "$n of $(wc -l <"$1") names are delegated to the sinkhole"; }
	echo "by dig at the parents: $(names "$n") delegated to the sinkhole, no DS"
}
# apply PLAN FLAGS...: tries again what the registries fail or put off.
apply() {
	p=$1
	shift
	impound seize apply "$p" --as olaf --keep-trying 3m "$@" >applied.txt 2>progress.txt || { tail -20 progress.txt >&2; die "apply ends with $?"; }
	grep '^ready at' progress.txt || true
	grep ' are not done yet' progress.txt || true
	echo "done: $(names "$(grep -c '[[:blank:]]done[[:blank:]]' applied.txt || true)"); as ordered before: $(grep -c '[[:blank:]]already[[:blank:]]' applied.txt || true); retries: $(grep -c ': retry:' progress.txt || true)"
}
# planned VERB ORDER ARGS...: a plan in plan.txt, its id in $plan. A name whose
# registry could not be seen is blocked (unknown is not pass): it is looked at again.
planned() {
	for _ in 1 2 3 4 5 6; do
		impound seize "$@" --as olaf >plan.txt 2>err.txt || { cat err.txt >&2; return 1; }
		plan=$(sed -n 's/^plan \(plan-[0-9a-f]*\) .*/\1/p' plan.txt)
		grep ' to change, ' plan.txt
		blocked=$(sed -n 's/^  \([^ ]*\): BLOCKED: .*/\1/p' plan.txt)
		[ -n "$blocked" ] || return 0
		echo "looking again at $(echo "$blocked" | wc -l): $(grep -m1 BLOCKED plan.txt)"
		for n in $blocked; do impound evidence capture "$n" --case CASE-1 --light --as ada >/dev/null; done
	done
	die "names stay blocked: $(grep -m1 BLOCKED plan.txt)"
}
approved() {
	planned "$@" || return 1
	impound seize approve "$plan" --as ben
	impound seize approve "$plan" --as dora
}

step "people, a case, its evidence"
impound people add ada --role admin --role analyst
for p in ben:approver dora:approver carla:counsel olaf:operator; do impound people add "${p%:*}" --role "${p#*:}" --as ada; done
impound actor add ACTOR --alias Practice --as ada
impound case open CASE-1 --title "A walk through a seizure" --actor ACTOR --as ada
into_case() {
	sed "s/\$/ $(date -u -d '-20 days' +%F)/" "$1" >dated.txt
	impound case add CASE-1 dated.txt --as ada
	impound case asked $(cat "$1") --why "its registrar was asked; no answer in a week" --as carla >/dev/null 2>&1
	impound case notice $(cat "$1") --why "registered letter to the registrant of record" --as carla >/dev/null 2>&1
}
into_case names.txt
impound evidence capture --case CASE-1 --all --light --as ada >captured.txt
echo "$(wc -l <captured.txt) artefacts"

# fill FILE UNTIL: what counsel writes into a draft.
fill() {
	sed -i -e "s|^kind: .*|kind: injunction|" -e "s|^  court: .*|  court: Practice District Court|" -e "s|^  docket: .*|  docket: 26-cv-00731|" \
		-e "s|^  call_back: .*|  call_back: clerk of the court, +1 555 0199|" -e "s|^issued: .*|issued: $(at '-1 minute')|" \
		-e "s|^from: .*|from: $(at '-1 minute')|" -e "s|^until: .*|until: $2|" -e "s|^at_end: .*|at_end: restore|" \
		-e "s|^  requesting: .*|  requesting: Practice Crimes Unit|" -e "s|^  technical_contact: .*|  technical_contact: desk@unit.example|" \
		-e "s|^  name:   # REQ.*|  name: Practice Registries|" -e "s|^  role:   # REQ.*|  role: registry|" "$1"
	awk '/^acts:   # REQ/ {print "acts:\n  nameservers: [ns1.sinkhole.internal, ns2.sinkhole-two.internal]\n  remove_ds: true\n  lock: [serverTransferProhibited, serverDeleteProhibited]\n  sinkhole: true\nsinkhole: {capture: contact, retention_days: 90}\nrelease: {how: [restore, expire], until: '"$(at '+90 days')"', clause: \"9\"}"; next} {print}' "$1" >"$1.new"
	mv "$1.new" "$1"
}
file() {
	impound order sign "$1" --as ben
	impound order sign "$1" --as dora
	impound order file "$1" --as carla
}

step "the order: $count names"
impound order draft CASE-1 --id O-1 --out order.yaml
fill order.yaml "$(at '+60 days')"
file order.yaml

step "a plan, and what it refuses"
planned plan O-1
grep -q "^$count to change, 0 as ordered already, 0 blocked" plan.txt || die "the plan does not change $count names"
p=$plan
refused 5 'approved by 0 of 2' impound seize apply "$p" --as olaf
impound seize approve "$p" --as ben
refused 5 'approved by 1 of 2' impound seize apply "$p" --as olaf
impound seize approve "$p" --as dora

step "the sinkhole serves"
"$bin/impound" serve >serve.log 2>&1 &
pids="$pids $!"
until_true 30 sh -c "dig @127.0.0.1 -p $sinkport $(head -n 1 names.txt) A +short +tries=1 +time=1 | grep -q 127.53.0.99" || { tail serve.log >&2; die "the sinkhole does not answer for $(head -n 1 names.txt)"; }
echo "the sinkhole answers for names of the order"

step "T0"
apply "$p" --at "$(at '+8 seconds')"
updated names.txt 1
delegated names.txt
n=$(history host:create | wc -l)
[ "$n" = $((2 * $(echo $regs | wc -w))) ] || [ "$n" -ge 2 ] || die "$n hosts were made"
for r in $regs; do
	grep '"command":"host:create"' "reg$r/journal.jsonl" | grep '"client":"registry"' | grep '"code":1000' | sed 's/.*"name":"\([^"]*\)".*/\1/' | sort | uniq -d | grep . && die "a host was made twice at reg$r"
done
shown O-1
before=$(history domain:update | wc -l)
apply "$p"
[ "$(history domain:update | wc -l)" = "$before" ] || die "applying again did something"
echo "applying again did nothing"

step "the actor moves: a supplement of $extra names under the order's clause"
into_case more.txt
impound evidence capture --case CASE-1 --all --light --as ada >captured2.txt
impound order supplement O-1 --clause 7 --from-case CASE-1 --id O-1-S1 --out supplement.yaml
file supplement.yaml
approved plan O-1-S1
# At T0 the registry with the most names holds its breath, so that something is left.
big=$(awk 'NR == FNR {r[$1] = $2; next} {n = $1; sub(/.*\./, "", n); print r[n]}' tlds.txt more.txt | sort | uniq -c | sort -rn | awk 'NR == 1 {print $2}')
grep -E "\.($(awk -v r="$big" '$2 == r {print $1}' tlds.txt | paste -sd'|'))\$" more.txt >held.txt
eval "held=\$pid_$big"
t0=$(($(date +%s) + 20))
"$bin/impound" seize apply "$plan" --as olaf --at "$(at "@$t0")" >drained.txt 2>progress.txt &
run=$!
while [ "$(date +%s)" -lt $((t0 - 3)) ]; do sleep 0.2; done
kill -STOP "$held"
others=$((extra - $(wc -l <held.txt)))
until_true 120 sh -c '[ $(grep -c ": done:" progress.txt) -ge '$others' ]' || { kill -CONT "$held"; cat progress.txt >&2; die "the other registries' names do not get done"; }
kill -INT $run
sleep 0.5
kill -CONT "$held"
code=0
wait $run || code=$?
done1=$(history domain:update | grep -Fxf more.txt | wc -l)
[ $code = 6 ] && grep -q 'stopped before it was begun' drained.txt || { tail -3 progress.txt >&2; die "Ctrl-C ends with $code"; }
[ "$(grep -c '[[:blank:]]done[[:blank:]]' drained.txt)" = "$done1" ] || die "$(grep -c '[[:blank:]]done[[:blank:]]' drained.txt) names are said to be done, and the registries did $done1"
grep '^ready at' progress.txt || true
echo "reg$big holds its breath at T0; Ctrl-C: what was begun is finished, $done1 of $extra done, exit $code"
"$bin/impound" seize apply "$plan" --as olaf >/dev/null 2>progress.txt &
run=$!
until [ "$(history domain:update | grep -Fxf held.txt | wc -l)" -gt 1 ]; do kill -0 $run 2>/dev/null || die "nothing goes on"; done
kill -KILL $run 2>/dev/null || true
wait $run 2>/dev/null || true
echo "kill -9 with $(history domain:update | grep -Fxf more.txt | wc -l) of $extra done"
apply "$plan"
updated more.txt 1
delegated more.txt
shown O-1-S1
impound seize status O-1-S1 >status.txt

step "drift: others change a delegation, a DS and a status"
frame() {
	n=$(($(printf %s "$1" | wc -c) + 4))
	printf "$(printf '\\%03o\\%03o\\%03o\\%03o' $((n >> 24 & 255)) $((n >> 16 & 255)) $((n >> 8 & 255)) $((n & 255)))"
	printf %s "$1"
}
# epp NAME USER PASSWORD UPDATE: a change by EPP, over and over until the registry's history has it.
epp() {
	t=${1##*.}
	r=$(awk -v t="$t" '$1 == t {print $2}' tlds.txt)
	xml='<?xml version="1.0" encoding="UTF-8" standalone="no"?><epp xmlns="urn:ietf:params:xml:ns:epp-1.0"><command>'
	for _ in 1 2 3 4 5 6 7 8; do
		{
			frame "$xml<login><clID>$2</clID><pw>$3</pw><options><version>1.0</version><lang>en</lang></options><svcs><objURI>urn:ietf:params:xml:ns:domain-1.0</objURI><objURI>urn:ietf:params:xml:ns:host-1.0</objURI><svcExtension><extURI>urn:ietf:params:xml:ns:secDNS-1.1</extURI></svcExtension></svcs></login><clTRID>LOGIN-1</clTRID></command></epp>"
			sleep 1
			frame "$xml<update><domain:update xmlns:domain=\"urn:ietf:params:xml:ns:domain-1.0\"><domain:name>$1</domain:name>$4</domain:update></update>${5:-}<clTRID>DRIFT</clTRID></command></epp>"
			sleep 1
			frame "$xml<logout/><clTRID>LOGOUT-1</clTRID></command></epp>"
			sleep 0.2
		} | timeout 10 openssl s_client -quiet -connect "$(addr "$r" EPP)" -CAfile "reg$r/ca.pem" >epp.txt 2>/dev/null || true
		grep '"op":{' "reg$r/journal.jsonl" | grep '"cltrid":"DRIFT"' | grep "\"name\":\"$1\"" | grep -q '"code":1000' && return
	done
	tr -d '\000' <epp.txt >&2
	die "could not change $1"
}
ns=$(sed -n 2p names.txt) ds=$(sed -n 3p names.txt) lock=$(sed -n 4p names.txt)
printf '%s\n' "$ns" "$ds" "$lock" >drifted.txt
epp "$ns" registrar-a registrar-pw '<domain:rem><domain:ns><domain:hostObj>ns1.sinkhole.internal</domain:hostObj></domain:ns></domain:rem>'
epp "$ds" registrar-a registrar-pw '' '<extension><secDNS:update xmlns:secDNS="urn:ietf:params:xml:ns:secDNS-1.1"><secDNS:add><secDNS:dsData><secDNS:keyTag>12345</secDNS:keyTag><secDNS:alg>13</secDNS:alg><secDNS:digestType>2</secDNS:digestType><secDNS:digest>49FD46E6C4B45C55D4AC69CBD3CD34AC1AFE51DE49FD46E6C4B45C55D4AC69CB</secDNS:digest></secDNS:dsData></secDNS:add></secDNS:update></extension>'
epp "$lock" registry registry-pw '<domain:rem><domain:status s="serverDeleteProhibited"/></domain:rem>'
# seen_drift: custody finds exactly these three.
seen_drift() {
	impound seize watch O-1 >alarms.txt 2>&1 || [ $? = 6 ]
	sed 's/\[\.\]/./g' alarms.txt | grep -E '^(drift|ds-back)' | awk '{for (i = 2; i <= NF; i++) print $i}' | grep -Fxf all.txt | sort -u >seen.txt
	sort drifted.txt | cmp -s - seen.txt
}
until_true 60 seen_drift || { cat alarms.txt >&2; die "custody does not find the three that drifted"; }
grep -v '^ ' alarms.txt
before=$(history domain:update | wc -l)
approved plan O-1
grep -q '^3 to change' plan.txt || die "the plan does not mend 3 names"
apply "$plan"
[ "$(history domain:update | wc -l)" = $((before + 3)) ] || die "mending took $(($(history domain:update | wc -l) - before)) changes, not 3"
delegated names.txt
quiet() { impound seize watch O-1 >alarms.txt 2>&1 || [ $? = 6 ]; ! grep -qE '^(drift|ds-back)' alarms.txt; }
until_true 60 quiet || { cat alarms.txt >&2; die "custody still finds drift"; }
echo "mended: three changes, and custody finds no drift"

step "an order that lapses: acts and sinkhole stop"
echo "$short" >short.txt
into_case short.txt
impound evidence capture "$short" --case CASE-1 --light --as ada >/dev/null
answers() { dig @127.0.0.1 -p "$sinkport" "$1" A +short +tries=1 +time=2 | grep -q 127.53.0.99; }
silent() { ! answers "$1"; }
for window in 20 60 180 600; do # as long as this machine takes
	impound order draft CASE-1 --id "O-$window" --out short.yaml
	sed -i -n -e '/^      - name:/{/short-/p;d}' -e 's/^    count: .*/    count: 1/' -e p short.yaml
	lapse=$(($(date +%s) + window))
	fill short.yaml "$(at "@$lapse")"
	file short.yaml >/dev/null
	if approved plan "O-$window" >/dev/null 2>&1 && impound seize apply "$plan" --as olaf >applied.txt 2>progress.txt && until_true 5 answers "$short"; then break; fi
	[ "$(date +%s)" -ge $lapse ] || { cat progress.txt >&2; die "the short order is not carried out"; }
	rm -f short.yaml
done
updated short.txt 1
echo "the sinkhole answers for $(echo "$short" | sed 's/\./[.]/g')"
while [ "$(date +%s)" -lt $lapse ]; do sleep 0.2; done
refused 5 'lapsed' impound seize plan "O-$window" --as olaf
refused 5 'not in force\|lapsed' impound seize apply "$plan" --as olaf
until_true 10 silent "$short" || die "the sinkhole still answers for a name of a lapsed order"
answers "$ns" || die "the sinkhole does not answer for the other order's names any more"
echo "the sinkhole is silent for it, and answers for the other order's"
impound seize watch "O-$window" >alarms.txt 2>&1 || [ $? = 6 ]
grep -v '^ ' alarms.txt
grep -q '^delegated' alarms.txt || die "custody does not say that it is still delegated to us"

step "release, by the return clause of the lapsed order"
if impound seize release "O-$window" "$short" --risk --how restore; then
	approved release "O-$window" "$short" --how restore
else
	approved release "O-$window" "$short" --how restore --despite "it was taken for this walk only"
fi
apply "$plan"
updated short.txt 2
a1=$(addr "$(awk -v t="${short##*.}" '$1 == t {print $2}' tlds.txt)" 'parent zones')
dig @"${a1%:*}" -p "${a1#*:}" "$short" NS +norecurse +noall +authority | grep -q 'actor-dns' || die "the name is not back at its former servers"
echo "$(echo "$short" | sed 's/\./[.]/g') is back at its former name servers"

step "what the evidence log says of all this"
impound evidence verify
echo "in all: $(history domain:update | wc -l) updates of $(history domain:update | uniq | wc -l) names at $(echo $regs | wc -w) registries, the one that caused drift counted"

step "how the registries failed on purpose meanwhile"
kill $pids 2>/dev/null || true
for r in $regs; do until_true 20 grep -q '^stopped' "reg$r.log" || die "practice registry $r does not stop"; done
cat reg*.log | sed -n 's/^on purpose: //p' | awk '{n = $1; $1 = ""; sum[$0] += n} END {for (w in sum) print sum[w] w}' | sort -rn

step "done"
