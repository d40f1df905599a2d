package web

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/impound/impound/internal/peertest"
)

// TestShots writes pictures of the pages into the folder IMPOUND_WEB_SHOTS,
// for somebody to look at.
func TestShots(t *testing.T) {
	dir := os.Getenv("IMPOUND_WEB_SHOTS")
	if dir == "" {
		t.Skip("set IMPOUND_WEB_SHOTS to a folder to have the pages photographed")
	}
	chromium := peertest.Need(t, "chromium", "chromium")
	srv := httptest.NewServer(handler(newFixture()))
	defer srv.Close()
	if out, err := exec.Command(chromium, append(chromiumArgs(t), "--no-pdf-header-footer", "--print-to-pdf="+filepath.Join(dir, "case.pdf"), srv.URL+"/cases/PHOS-2019")...).CombinedOutput(); err != nil {
		t.Errorf("case.pdf: %v\n%s", err, out)
	}
	for _, s := range []struct{ file, path, size, scheme string }{
		{"overview", "/", "1280,1700", "1"},
		{"overview-dark", "/", "1280,1700", "0"},
		{"case", "/cases/PHOS-2019", "1280,3000", "1"},
		{"case-dark", "/cases/PHOS-2019", "1024,2200", "0"},
		{"case-phone", "/cases/PHOS-2019", "500,3400", "1"},
		{"contacts", "/contacts", "1280,1000", "1"},
		{"name", "/cases/PHOS-2019/names/outlook-verify.net", "1280,1500", "1"},
		{"order", "/orders/PHOS-WDC-1", "1024,1200", "1"},
		{"order-wide", "/orders/PHOS-WDC-1", "1280,1600", "1"},
		{"order-phone", "/orders/PHOS-WDC-1", "500,2600", "1"},
		{"letter", "/letters/L-0123456789abcdef", "1280,1300", "1"},
		{"letter-phone", "/letters/L-0123456789abcdef", "500,2200", "1"},
		{"release", "/orders/PHOS-WDC-1/release?how=expire", "1280,800", "1"},
		{"release-phone", "/orders/PHOS-WDC-1/release?how=expire", "500,1600", "1"},
		{"plan", "/plans/P-1", "1280,900", "0"},
		{"watch", "/watch", "1280,1400", "1"}, {"watch-dark", "/watch", "1280,1400", "0"}, {"watch-phone", "/watch", "500,2600", "1"}, {"lessons", "/watch/lessons", "1280,500", "1"},
		{"links", "/links?at=name:outlook-signin.net", "1280,1100", "1"}, {"links-dark", "/links?at=name:outlook-signin.net", "1280,1100", "0"}, {"links-phone", "/links?at=name:outlook-signin.net", "500,2400", "1"},
		{"log", "/log", "1280,1200", "1"},
		{"about", "/about", "1024,1000", "0"},
		{"error", "/contacts?class=victm", "1024,400", "1"},
	} {
		if only := os.Getenv("IMPOUND_WEB_SHOT"); only != "" && only != s.file {
			continue
		}
		args := append(chromiumArgs(t), "--window-size="+s.size, "--hide-scrollbars", "--blink-settings=preferredColorScheme="+s.scheme,
			"--virtual-time-budget=1500", "--screenshot="+filepath.Join(dir, s.file+".png"), srv.URL+s.path)
		if out, err := exec.Command(chromium, args...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", s.file, err, out)
		}
	}
}

func chromiumArgs(t testing.TB) []string {
	return []string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--disable-dev-shm-usage", "--user-data-dir=" + t.TempDir()}
}
