#!/bin/sh
# Walks from a name that nobody has seen yet to the papers that take it: a
# serving process watches a real Certificate Transparency log and a list of new
# registrations, is killed in the middle, and finds everything once; an analyst
# works the queue, and promotes the actor's new names to the case; evidence,
# gates, and a draft of the supplemental appendix follow in one step, which is
# killed too. Everything is practice and on loopback.
#
#   usage: watch.sh BIN FOLDER
#
#   BIN     folder with the programs impound, testregistry and ctlog (test/walkthrough/ctlog)
#   FOLDER  is made; state, log and papers stay there to be looked at
#
# It stops at the first step that does not do what it says, with exit code 1.
set -eu
bin=$(cd "$1" && pwd) dir=$2
mkdir "$dir"
cd "$dir"
export IMPOUND_STATE="$PWD/state" TZ=UTC
mkdir state papers ct
begin=$(date +%s)
impound() { "$bin/impound" "$@"; }
step() { echo; echo "== $(($(date +%s) - begin)) s: $*"; }
die() { echo "watch.sh: $*" >&2; exit 1; }
at() { date -u -d "$1" +%Y-%m-%dT%H:%M:%SZ; }
ms() { echo $(($(date +%s%N) / 1000000)); }
pids=
trap 'kill $pids 2>/dev/null || true; wait' EXIT

step "a real log, a practice registry, a list of new registrations"
"$bin/ctlog" ct >ct.out 2>&1 &
pids="$pids $!"
cat >names.txt <<EOF
outlook-verify.example
mail-login-check.example
account-secure.example
outlook-account-check.example
EOF
next1=outlook-secure-verify.example next2=outlook-login-account.example
set --
while read -r n; do set -- "$@" --domain "$n"; done <names.txt
"$bin/testregistry" --dir reg --tld example "$@" --domain $next1 --domain $next2 --epp 127.0.0.1:0 --rdap 127.0.0.1:0 --dns 127.0.0.1:0 \
	--resolver 127.0.0.1:0 --actor-dns 127.0.0.1:0 --actor-http 127.0.0.1:0 >reg.log 2>&1 &
pids="$pids $!"
for _ in $(seq 120); do
	[ -s ct/submit ] && grep -q '^EPP accounts' reg.log 2>/dev/null && break
	sleep 0.25
done
addr() { sed -n "s/^  $1 *\(127[^ ]*\)$/\1/p" reg.log; }
[ -s ct/submit ] || { cat ct.out >&2; die "the log does not start"; }
[ -n "$(addr EPP)" ] || { cat reg.log >&2; die "the practice registry does not start"; }
submit() { printf '%s\n' "$@" | curl -sf --data-binary @- "$(cat ct/submit)" || die "the log does not take $*"; }
printf registry-pw >state/password
chmod 600 state/password
: >nrd.txt
port=${IMPOUND_WALK_WEB:-$((10000 + $$ % 22000))} # below what systems give to whoever dials out
config() {
	cat >state/impound.yaml <<EOF
web: "127.0.0.1:$port"
resolvers: ["$(addr resolver)"]
routes: {"127.53.0.66:53": "$(addr 'actor DNS')", "127.53.0.66:80": "$(addr 'actor HTTP')"}
registries:
  - {provider: practice, tlds: [example], role: registry, epp: "$(addr EPP)", ca: $PWD/reg/ca.pem,
     client_id: registry, password_file: password, rdap: "http://$(addr RDAP)", parents: ["$(addr 'parent zones')"]}
watch:
  poll: 500ms
  rate: -1
  sources:
    - $(cat ct/source.yaml)
    - {name: nrd, list: $PWD/nrd.txt}
EOF
}
config
impound config check

step "people, a case, an order in force"
impound people add ada --role admin --role analyst
for p in ben:approver dora:approver carla:counsel; do impound people add "${p%:*}" --role "${p#*:}" --as ada; done
impound actor add THALLIUM --alias Kimsuky --as ada
impound case open CASE-1 --title "A walk from a new name to papers" --actor THALLIUM --as ada
sed "s/\$/ $(date -u -d '-20 days' +%F)/" names.txt >with-dates.txt
impound case add CASE-1 with-dates.txt --as ada
impound evidence capture --case CASE-1 --all --light --as ada >/dev/null
for n in $(cat names.txt); do
	impound case asked "$n" --why "its registrar was asked; no answer in a week" --as carla
	impound case notice "$n" --why "registered letter to the registrant of record" --as carla
done >decided.txt 2>&1
fill() {
	sed -i -e "s|^kind: .*|kind: injunction|" -e "s|^  court: .*|  court: Practice District Court|" -e "s|^  docket: .*|  docket: 26-cv-00731|" \
		-e "s|^  call_back: .*|  call_back: clerk of the court, +1 555 0199|" -e "s|^issued: .*|issued: $(at '-1 minute')|" \
		-e "s|^from: .*|from: $2|" -e "s|^until: .*|until: $3|" -e "s|^at_end: .*|at_end: restore|" \
		-e "s|^  requesting: .*|  requesting: Practice Crimes Unit|" -e "s|^  technical_contact: .*|  technical_contact: desk@unit.example|" \
		-e "s|^  name:   # REQ.*|  name: Practice Registry|" -e "s|^  role:   # REQ.*|  role: registry|" "$1"
	awk '/^acts:   # REQ/ {print "acts:\n  nameservers: [ns1.sinkhole.example, ns2.sinkhole-two.example]\n  remove_ds: true\n  lock: [serverTransferProhibited, serverDeleteProhibited]\n  sinkhole: true\nsinkhole: {capture: contact, retention_days: 90}\nrights: {contest: write to the clerk of the court, contest_days: 14}"; next} {print}' "$1" >"$1.new"
	mv "$1.new" "$1"
}
file() { impound order sign "$1" --as ben && impound order sign "$1" --as dora && impound order file "$1" --as carla; }
impound order draft CASE-1 --id O-1 --out order.yaml
fill order.yaml "$(at now)" "$(at '+60 days')"
file order.yaml >filed.txt

step "a serving process watches; a name is certified, another is registered"
serve() {
	"$bin/impound" serve >>serve.log 2>&1 & # no function: what is killed must be the program
	server=$!
	pids="$pids $server"
}
serve
reading() { impound watch status --json | grep -q '"id": *"ct"' && impound watch status --json | grep -q '"id": *"nrd"'; }
wait_for() { # SECONDS WHAT CMD...
	limit=$1 what=$2
	shift 2
	i=0
	until "$@"; do
		i=$((i + 1))
		[ $i -lt $((limit * 10)) ] || { cat serve.log >&2; impound watch status >&2; die "$what"; }
		sleep 0.1
	done
}
wait_for 60 "the sources are not read" reading
queued() { for q in "$@"; do impound watch list --status all --name "$q" --json | grep -q '"name":"'"$q"'"' || return 1; done; }
t0=$(ms)
submit "$next1 *.$next1 login.$next1"
echo "from submission: the log answered after $(($(ms) - t0)) ms"
wait_for 60 "$next1 is not in the queue" queued $next1
echo "$next1 is in the queue $(($(ms) - t0)) ms after it was submitted"
t0=$(ms)
echo "$next2" >>nrd.txt
wait_for 60 "$next2 is not in the queue" queued $next2
echo "$next2 is in the queue $(($(ms) - t0)) ms after the list had it"
impound watch list --limit 5
page=$(curl -sf "http://127.0.0.1:$port/watch") || die "there is no page"
echo "$page" | grep -o '<span class="badge good">watching</span>[^<]*' || die "the page does not say that it watches"

step "certificates and names come, and the process is killed, twice"
feed() { for i in $(seq "$1" "$2"); do
	submit "paypal-toys$i.example" "ordinary-bakery-$i.example"
	echo "paypal-help$i.example" >>nrd.txt
done; }
feed 1 20 &
feeder=$!
sleep 1
kill -KILL $server
echo "killed"
wait $feeder
serve
feed 21 40 &
feeder=$!
sleep 1
kill -KILL $server
echo "killed again"
wait $feeder
serve
all() { impound watch list --status all --json >queue.json; [ "$(grep -c '"name":"paypal-' queue.json)" = 80 ]; }
wait_for 120 "of 80 names not all are in the queue" all
caught() { impound watch status --json | tr -d ' \n' >status.json; ! grep -q '"lag":[1-9]' status.json; }
wait_for 60 "the sources are not read to their ends" caught
kill -INT $server
wait $server || die "the serving process does not end in order: $?"
impound watch status
impound watch status --json | tr -d ' \n' | tr '}' '\n' | grep -o '"hits":[0-9]*,"added":[0-9]*' >counts.txt
awk -F'[:,]' '{if ($2 < $4) exit 1; added += $4} END {exit added >= 82 ? 0 : 1}' counts.txt || { cat counts.txt >&2; die "something was queued twice or skipped"; }
echo "80 names of 80, each once, after two kills; it ended in order when it was asked to"

step "an analyst works the queue"
sed -n 's/.*"name":"\(paypal-toys[0-9]*\.example\)".*/\1/p' queue.json | head -12 | impound watch dismiss - --reason word --why "a toy shop's sales" --as ada
impound watch lessons
impound watch list --status open --limit 3
impound watch snooze paypal-help1.example --until 14d --why "see whether it gets a page" --as ada
impound watch reopen paypal-help1.example --as ada
impound watch list --name paypal-help1.example

step "the new names go into the case; evidence, gates, and a draft in one step, killed in the middle"
"$bin/impound" watch promote $next1 $next2 --case CASE-1 --supplement --clause 7 --as ada >/dev/null 2>killed.txt &
half=$!
sleep 0.15
kill -KILL $half 2>/dev/null && echo "killed after: $(tail -1 killed.txt)" || echo "it was done already"
wait $half || true
rm -f O-1-S1.yaml
impound watch promote $next1 $next2 --case CASE-1 --supplement --clause 7 --as ada
impound evidence list --case CASE-1 --what candidate.promote --json >promoted.txt
[ "$(grep -o '"what": *"candidate.promote"' promoted.txt | wc -l)" = 2 ] || { cat promoted.txt >&2; die "each promotion should stand in the log once"; }
for n in $next1 $next2; do grep -q "$(echo $n | sed 's/\./\\[.\\]/g')" O-1-S1.yaml || die "the draft lacks $n"; done
grep -q 'clause: *"\?7' O-1-S1.yaml || die "the draft names no clause"
impound order appendix O-1-S1.yaml --out papers/draft-appendix-B.pdf
impound order appendix O-1-S1.yaml --format csv >papers/draft-appendix-B.csv
impound order check O-1-S1.yaml >check.txt 2>&1 || [ $? = 5 ] || { cat check.txt >&2; die "the draft has faults"; }
code=0
impound order file O-1-S1.yaml --as carla >unsigned.txt 2>&1 || code=$?
[ $code = 5 ] || die "an unsigned draft is filed: $code"
echo "unsigned, it is refused: $(head -1 unsigned.txt)"

step "seen, asked, signed by two, filed; papers"
for n in $next1 $next2; do
	impound case seen CASE-1 "$(date -u -d yesterday +%F)" "$n" --as ada
	impound case asked "$n" --why "its registrar was asked" --as carla
	impound case notice "$n" --why "a letter to the registrant of record" --as carla
done >decided2.txt 2>&1
file O-1-S1.yaml | tail -3
impound order appendix O-1-S1 --out papers/appendix-B.pdf
impound order appendix O-1-S1 --out papers/appendix-B.docx
impound order affidavit O-1-S1 --out papers/declaration.docx
impound order diff O-1 O-1-S1 | grep '^+ .*appendix B'
rows=$(impound order appendix O-1-S1 --format csv | tail -n +2 | wc -l)
[ "$rows" = 2 ] || die "the appendix has $rows names, not 2"
ls -l papers | awk 'NF > 8 {print $5, $9}'
impound evidence verify

step "done"
