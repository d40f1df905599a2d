#!/bin/sh
# Walks a case from a list of names to signed orders, papers for the court, a
# supplement, a contest, an expiry and a bundle that is proven by hand. Everything
# is practice and on loopback: nothing leaves this machine.
#
#   usage: casework.sh BIN NAMES FOLDER
#
#   BIN     folder with the programs impound and testregistry
#   NAMES   a name a line; more may follow after a blank
#   FOLDER  is made; state, papers and the bundle stay there to be looked at
#
# It stops at the first step that does not do what it says, with exit code 1.
set -eu
bin=$(cd "$1" && pwd) names=$(cd "$(dirname "$2")" && pwd)/$(basename "$2") dir=$3
mkdir "$dir"
cd "$dir"
export IMPOUND_STATE="$PWD/state" TZ=UTC
mkdir state papers
begin=$(date +%s)
impound() { "$bin/impound" "$@"; }
step() { echo; echo "== $(($(date +%s) - begin)) s: $*"; }
die() { echo "casework.sh: $*" >&2; exit 1; }
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
at() { date -u -d "$1" +%Y-%m-%dT%H:%M:%SZ; }

step "a practice registry that holds the names"
awk 'NF && !/^#/ {print $1}' "$names" | sed 's/\[\.\]/./g' >names.txt
count=$(wc -l <names.txt)
[ "$count" -gt 1 ] || die "$names holds $count names"
tlds=$(sed 's/.*\.//' names.txt | sort -u)
# What the actor registers next, below the same top-level domain.
next="next-$(head -1 names.txt)" later="later-$(head -1 names.txt)"
set --
for t in $tlds; do set -- "$@" --tld "$t"; done
while read -r n; do set -- "$@" --domain "$n"; done <names.txt
"$bin/testregistry" --dir reg "$@" --domain "$next" --domain "$later" --epp 127.0.0.1:0 --rdap 127.0.0.1:0 --dns 127.0.0.1:0 \
	--resolver 127.0.0.1:0 --actor-dns 127.0.0.1:0 --actor-http 127.0.0.1:0 >reg.log 2>&1 &
registry=$!
trap 'kill $registry 2>/dev/null || true' EXIT
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	grep -q '^EPP accounts' reg.log 2>/dev/null && break
	sleep 0.25
done
addr() { sed -n "s/^  $1 *\(127[^ ]*\)$/\1/p" reg.log; }
[ -n "$(addr EPP)" ] || { cat reg.log >&2; die "the practice registry does not start"; }
printf registry-pw >state/password
chmod 600 state/password
cat >state/impound.yaml <<EOF
resolvers: ["$(addr resolver)"]
routes: {"127.53.0.66:53": "$(addr 'actor DNS')", "127.53.0.66:80": "$(addr 'actor HTTP')"}
registries:
  - {provider: practice, tlds: [$(echo $tlds | tr ' ' ,)], role: registry, epp: "$(addr EPP)", ca: $PWD/reg/ca.pem,
     client_id: registry, password_file: password, rdap: "http://$(addr RDAP)", parents: ["$(addr 'parent zones')"]}
EOF
impound config check
echo "$count names below $(echo $tlds | sed 's/ /, /g')"

step "people, an actor, a case"
impound people add ada --role admin --role analyst
for p in ben:approver dora:approver carla:counsel; do impound people add "${p%:*}" --role "${p#*:}" --as ada; done
impound actor add THALLIUM --alias Kimsuky --as ada
impound case open CASE-1 --title "A walk from names to orders" --actor THALLIUM --as ada
sed "s/\$/ $(date -u -d '-20 days' +%F)/" names.txt >with-dates.txt
impound case add CASE-1 with-dates.txt --as ada

step "evidence of every name, and one in full"
impound evidence capture --case CASE-1 --all --light --as ada >captured.txt
echo "$(wc -l <captured.txt) artefacts"
impound evidence capture "$(head -1 names.txt)" --case CASE-1 --as ada || [ $? = 6 ] # 6: no browser here
for n in $(cat names.txt); do
	impound case asked "$n" --why "its registrar was asked; no answer in a week" --as carla
	impound case notice "$n" --why "registered letter to the registrant of record" --as carla
done >decided.txt 2>&1

# fill FILE FROM UNTIL: what counsel writes into a draft.
fill() {
	sed -i -e "s|^kind: .*|kind: injunction|" -e "s|^  court: .*|  court: Practice District Court|" -e "s|^  docket: .*|  docket: 26-cv-00731|" \
		-e "s|^  call_back: .*|  call_back: clerk of the court, +1 555 0199|" -e "s|^issued: .*|issued: $(at '-1 minute')|" \
		-e "s|^from: .*|from: $2|" -e "s|^until: .*|until: $3|" -e "s|^at_end: .*|at_end: restore|" \
		-e "s|^  requesting: .*|  requesting: Practice Crimes Unit|" -e "s|^  technical_contact: .*|  technical_contact: desk@unit.example|" \
		-e "s|^  name:   # REQ.*|  name: Practice Registry|" -e "s|^  role:   # REQ.*|  role: registry|" "$1"
	awk '/^acts:   # REQ/ {print "acts:\n  nameservers: [ns1.sinkhole.example, ns2.sinkhole-two.example]\n  remove_ds: true\n  lock: [serverTransferProhibited, serverDeleteProhibited]\n  sinkhole: true\nsinkhole: {capture: contact, retention_days: 90}\nrights: {contest: write to the clerk of the court, contest_days: 14}\ndeadlines:\n  - {what: the restraining order ends; move for an injunction, due: '"$(at '+14 days')"', who: counsel}"; next} {print}' "$1" >"$1.new"
	mv "$1.new" "$1"
}
file() { impound order sign "$1" --as ben && impound order sign "$1" --as dora && impound order file "$1" --as carla; }

step "an order: drafted, filled in, signed by two, filed"
impound order draft CASE-1 --id O-1 --out order.yaml
refused 2 'nobody ordered it' impound order check order.yaml
fill order.yaml "$(at now)" "$(at '+60 days')"
refused 5 'signed by 0 of 2' impound order check order.yaml
impound order sign order.yaml --as ben
refused 1 'ben' impound order sign order.yaml --as ben
refused 5 'signed by one' impound order file order.yaml --as carla
impound order sign order.yaml --as dora
impound order check order.yaml >check.txt || true
impound order file order.yaml --as carla >filed.txt
sed 's/capture: contact/capture: lure/' order.yaml >changed.yaml
refused 1 'another order is filed' impound order file changed.yaml --as carla
impound order list

step "papers"
for f in csv json pdf docx; do impound order appendix O-1 --out papers/appendix.$f; done
for f in pdf docx; do impound order affidavit O-1 --template affidavit --out papers/affidavit.$f; done
impound order affidavit O-1 --out papers/declaration.docx
rows=$(($(wc -l <papers/appendix.csv) - 1))
[ "$rows" = "$count" ] || die "the appendix has $rows names, not $count"
ls -l papers | awk 'NF > 8 {print $5, $9}'
if command -v pdftotext >/dev/null; then
	pdftotext -layout papers/appendix.pdf - | tr -d '\n ' >text.txt
	for n in $(cat names.txt); do
		grep -qF "$(echo "$n" | sed 's/\./[.]/g')" text.txt || grep -qF "$n" text.txt || die "appendix.pdf lacks $n"
	done
	echo "appendix.pdf holds every name"
fi

step "the actor moves: a supplement"
t0=$(date +%s)
echo "$next $(date -u -d yesterday +%F)" >next.txt
impound case add CASE-1 next.txt --as ada
impound evidence capture "$next" --case CASE-1 --light --as ada >/dev/null
impound order supplement O-1 --clause 7 --from-case CASE-1 --id O-1-S1 --out supplement.yaml
file supplement.yaml
impound order appendix O-1-S1 --out papers/appendix-B.pdf
impound order diff O-1 O-1-S1 | grep '^+ .*appendix B'
echo "supplement ready in $(($(date +%s) - t0)) s"

step "a contest, and its end"
n=$(sed -n 2p names.txt)
impound case contest "$n" --why "a bakery writes that the name is theirs" --as carla
impound order check order.yaml >check.txt 2>&1 || true
grep "$(echo "$n" | sed 's/\./\\[.\\]/g')" check.txt | grep -m1 G13 || grep -m1 G13 check.txt || die "the contest blocks nothing"
impound order deadlines O-1 | grep contest || die "the contest has no clock"
impound case contest "$n" --end --why "the letter was forged" --as carla
impound order deadlines O-1 | grep contest && die "the contest is settled and still due"

step "an order that lapses"
echo "$later $(date -u -d yesterday +%F)" >later.txt
impound case add CASE-1 later.txt --as ada
impound order draft CASE-1 --id O-2 --out short.yaml
end=$(($(date +%s) + 6))
fill short.yaml "$(at now)" "$(at "@$end")"
file short.yaml >/dev/null
while [ "$(date +%s)" -le $end ]; do sleep 0.2; done
refused 5 'has lapsed' impound seize plan O-2 --as ada
impound order list

step "the bundle, proven by the program and by hand"
impound evidence verify
impound evidence export CASE-1 --out bundle.zip
impound evidence verify --bundle bundle.zip
mkdir bundle
(cd bundle && unzip -q ../bundle.zip && sha256sum --quiet -c MANIFEST &&
	cut -d+ -f3- log.vkey | base64 -d | tail -c 32 >key.raw &&
	(printf '302A300506032B6570032100' | basenc --base16 -d; cat key.raw) >key.der &&
	sed '/^$/,$d' checkpoint >signed &&
	sed -n '/^— /s/.* //p' checkpoint | head -n 1 | base64 -d | tail -c 64 >sig &&
	openssl pkeyutl -verify -pubin -keyform DER -inkey key.der -rawin -in signed -sigfile sig)
echo "$(wc -l <bundle/entries.jsonl) entries, $(ls bundle/artefacts | wc -l) artefacts, CASE/UCO of $(wc -c <bundle/case-uco.jsonld) octets"
a=$(ls bundle/artefacts | head -1)
printf x >>"bundle/artefacts/$a"
(cd bundle && sha256sum --quiet -c MANIFEST) >/dev/null 2>&1 && die "a changed artefact is not found"
echo "a changed artefact is found"

step "done"
