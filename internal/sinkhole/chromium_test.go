package sinkhole

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/impound/impound/internal/peertest"
)

// A browser that comes by the seized name sees the notice, over HTTP/2.
func TestChromium(t *testing.T) {
	bin := peertest.Need(t, "chromium", "chromium")
	r := start(t, usual(t))
	base := []string{"--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors", "--disable-background-networking", "--user-data-dir=" + t.TempDir(),
		"--host-resolver-rules=MAP * 127.0.0.1", "--accept-lang=de"}
	out := run(t, "", bin, append(base, "--dump-dom", "https://www.outlook-verify.net:"+r.port("https")+"/a")...)
	if !strings.Contains(out, "outlook-verify[.]net") || !strings.Contains(out, `lang="de"`) {
		t.Errorf("the page is not seen: %s", out)
	}
	seen := false
	for _, e := range r.rec.take() {
		seen = seen || e.Path == "/a" && e.Status == 200 && strings.HasPrefix(e.JA4, "t13d") && e.Order == "O-contact"
	}
	if !seen {
		t.Error("the browser left no event")
	}
	// To look at it: NOTICE_SHOTS=DIR go test -run Chromium.
	if dir := os.Getenv("NOTICE_SHOTS"); dir != "" {
		for _, shot := range []string{"de 1200,1100", "de 500,1500", "ar 900,1000", "hi 900,1000"} {
			lang, size, _ := strings.Cut(shot, " ")
			run(t, "", bin, append(base, "--accept-lang="+lang, "--window-size="+size, "--screenshot="+filepath.Join(dir, "notice-"+lang+"-"+size+".png"), "http://outlook-verify.net:"+r.port("http")+"/")...)
		}
	}
}
