package capture

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/impound/impound/internal/peertest"
)

type record struct {
	kind  string
	head  map[string]string
	block []byte
}

// records reads a file as the standard says, with nothing of the writer's.
func records(t testing.TB, file []byte) []record {
	t.Helper()
	var out []record
	br := bufio.NewReader(bytes.NewReader(file))
	for {
		if _, err := br.Peek(1); err == io.EOF {
			return out
		}
		z, err := gzip.NewReader(br)
		must(t, err)
		z.Multistream(false)
		b, err := io.ReadAll(z)
		must(t, err)
		top, rest, ok := bytes.Cut(b, []byte("\r\n\r\n"))
		lines := strings.Split(string(top), "\r\n")
		if !ok || lines[0] != "WARC/1.1" {
			t.Fatalf("no record: %.60q", b)
		}
		r := record{head: map[string]string{}}
		for _, l := range lines[1:] {
			k, v, ok := strings.Cut(l, ": ")
			if !ok {
				t.Fatalf("no field: %q", l)
			}
			r.head[k] = v
		}
		r.kind = r.head["WARC-Type"]
		n, err := strconv.Atoi(r.head["Content-Length"])
		must(t, err)
		if len(rest) != n+4 || string(rest[n:]) != "\r\n\r\n" {
			t.Fatalf("a record of %d octets says that it has %d", len(rest)-4, n)
		}
		r.block = rest[:n]
		if digest(r.block) != r.head["WARC-Block-Digest"] {
			t.Errorf("a block is not what its digest says")
		}
		out = append(out, r)
	}
}

func TestWARCHoldsTheOctetsOfBothSides(t *testing.T) {
	w := newWorld(t, chunkedPage())
	delete(w.routes, name.String()+":443")
	rs := records(t, noPicture(t, w).find(t, KindWARC).Body)
	if rs[0].kind != "warcinfo" || !strings.Contains(string(rs[0].block), "conformsTo:") {
		t.Fatalf("the first record is %+v", rs[0])
	}
	ids := map[string]record{}
	n := map[string]int{}
	for _, r := range rs {
		n[r.kind]++
		id := r.head["WARC-Record-ID"]
		if _, twice := ids[id]; twice || !strings.HasPrefix(id, "<urn:uuid:") {
			t.Errorf("id %q", id)
		}
		ids[id] = r
		if r.kind != "warcinfo" && r.head["WARC-Warcinfo-ID"] != rs[0].head["WARC-Record-ID"] {
			t.Errorf("a %s record does not name its warcinfo", r.kind)
		}
		if to, ok := r.head["WARC-Concurrent-To"]; ok && ids[to].head["WARC-Target-URI"] != r.head["WARC-Target-URI"] {
			t.Errorf("a %s record goes with a record of another URI", r.kind)
		}
		switch r.kind {
		case "response":
			if !bytes.HasPrefix(r.block, []byte("HTTP/1.1 200 OK\r\n")) || !bytes.Contains(r.block, []byte("\r\nTransfer-Encoding: chunked\r\n")) || !bytes.HasSuffix(r.block, []byte("\r\n0\r\n\r\n")) {
				t.Errorf("not as it came: %q", r.block)
			}
			if r.head["WARC-Payload-Digest"] != digest([]byte("one two three")) {
				t.Errorf("payload digest %s", r.head["WARC-Payload-Digest"])
			}
		case "request":
			if !bytes.HasPrefix(r.block, []byte("GET / HTTP/1.1\r\nHost: "+name.String()+"\r\n")) {
				t.Errorf("request %q", r.block)
			}
		}
	}
	if n["warcinfo"] != 1 || n["response"] != n["request"] || n["response"] < 6 || n["metadata"] != n["response"]+1 { // https got no answer
		t.Errorf("%v", n)
	}
}

func chunkedPage() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for _, s := range []string{"one ", "two ", "three"} {
			_, _ = io.WriteString(w, s)
			w.(http.Flusher).Flush()
		}
	})
}

// warcio is Webrecorder's reader, which archives use.
func TestWARCIsReadByWarcio(t *testing.T) {
	node := peertest.Need(t, "node", "nodejs")
	dir := os.Getenv("IMPOUND_WARCIO")
	_, err := os.Stat(filepath.Join(dir, "package.json"))
	peertest.NeedThat(t, "warcio (npm)", dir != "" && err == nil, "npm install --prefix DIR warcio@2.4.11, then set IMPOUND_WARCIO=DIR/node_modules/warcio")
	w := newWorld(t, chunkedPage())
	file := filepath.Join(t.TempDir(), "x.warc.gz")
	must(t, os.WriteFile(file, noPicture(t, w).find(t, KindWARC).Body, 0o600))
	script := filepath.Join(t.TempDir(), "read.mjs")
	must(t, os.WriteFile(script, []byte(`
import { createHash } from 'crypto'; import fs from 'fs'; import path from 'path'; import { pathToFileURL } from 'url';
const { WARCParser } = await import(pathToFileURL(path.join(process.argv[2], 'dist/index.js')));
const out = [];
for await (const r of new WARCParser(fs.createReadStream(process.argv[3]))) {
  const payload = await r.readFully(true);
  out.push({ type: r.warcType, uri: r.warcTargetURI, version: r.warcHeaders.protocol || r.warcHeaders.statusline, status: r.httpHeaders ? r.httpHeaders.statusCode : 0,
    said: r.warcHeader('WARC-Payload-Digest') || '', is: 'sha256:' + createHash('sha256').update(payload).digest('hex') });
}
console.log(JSON.stringify(out));`), 0o600))
	b, err := exec.Command(node, script, dir, file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	var rs []struct {
		Type, URI, Version, Said, Is string
		Status                       any
	}
	must(t, json.Unmarshal(b, &rs))
	n := 0
	for _, r := range rs {
		if r.Type == "response" {
			n++
			if r.Said != r.Is || fmt.Sprint(r.Status) != "200" || r.Version != "WARC/1.1" {
				t.Errorf("warcio reads %+v", r)
			}
		}
	}
	if n < 7 || rs[0].Type != "warcinfo" {
		t.Errorf("warcio finds %d responses in %d records", n, len(rs))
	}
}
