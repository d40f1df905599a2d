package telemetry

import (
	"strings"

	"github.com/impound/impound"
)

// The lists are parts of lower-case User-Agent texts. They are ours, from the
// programs' own documentation; an operator adds to them by Classifier.Agents.
var (
	scannerAgents = []string{
		"zgrab", "masscan", "nmap", "censys", "shodan", "nuclei", "nikto", "sqlmap", "gobuster", "dirbuster", "feroxbuster", "ffuf", "wpscan", "acunetix", "nessus", "qualys", "netcraft", "internetmeasurement", "expanse", "paloalto", "odin", "leakix", "onyphe", "binaryedge", "projectdiscovery", "httpx", "l9explore", "l9tcpid",
		"curl/", "wget/", "python-requests", "python-urllib", "aiohttp", "go-http-client", "libwww-perl", "java/", "okhttp", "axios/", "node-fetch", "undici", "ruby", "php/", "guzzlehttp", "httpie", "postmanruntime", "powershell", "headlesschrome", "phantomjs", "selenium", "scrapy",
		"googlebot", "bingbot", "yandexbot", "baiduspider", "duckduckbot", "applebot", "ahrefsbot", "semrushbot", "mj12bot", "dotbot", "petalbot", "bytespider", "ccbot", "gptbot", "crawler", "spider",
	}
	mailAgents = []string{
		"mimecast", "proofpoint", "barracuda", "safelinks", "bingpreview", "forcepoint", "ironport", "cisco esa", "fireeye", "trendmicro", "trend micro", "tmase", "symantec", "messagelabs", "sophos", "googleimageproxy", "yahoomailproxy", "yahoo! slurp mail", "fortimail", "hornetsecurity", "vade", "retarus", "microsoft office existence discovery", "office protocol discovery",
		"slackbot", "telegrambot", "whatsapp/", "skypeuripreview", "facebookexternalhit", "twitterbot", "discordbot", "linkedinbot", "signal-", "iframely", "link preview", "linkpreview",
	}
	researchAgents = []string{"research", "university", ".edu", "measurement study", "academic", "citizenlab", "shadowserver", "security-study", "cert-scan"}
	webmailHosts   = []string{"mail.google.com", "outlook.live.com", "outlook.office.com", "outlook.office365.com", "mail.yahoo.com", "mail.proton.me", "mail.yandex", "mail.ru", "e.mail.ru", "webmail.", "owa.", "roundcube", "mail.zoho", "icloud.com"}
	// What no lure leads to. Paths that imitate a login (/owa, /remote/login,
	// /wp-content on a kit) are not here: actors use them.
	oddPaths = []string{"/.env", "/.git", "/.aws", "/.ssh", "/.svn", "/.ds_store", "/wp-login", "/wp-admin", "/wp-config", "/wp-json", "/xmlrpc.php", "/phpmyadmin", "/phpunit", "/cgi-bin", "/actuator", "/solr/", "/boaform", "/hnap1", "/manager/html", "/server-status", "/_ignition", "/telescope/", "/setup.cgi", "/dump.sql", "/.vscode", "/eval-stdin", "/goform", "/api/v1/pods", "/geoserver", "/_profiler", "/druid/", "/nacos/", "/../", "/%2e%2e/"}
)

func (c *Classifier) agent(ua string) (impound.Class, string) {
	l := strings.ToLower(ua)
	best, class := "", impound.Class("")
	for w, k := range c.Agents { // the longest word wins, so that map order doesn't
		if w != "" && strings.Contains(l, w) && (len(w) > len(best) || len(w) == len(best) && w < best) {
			best, class = w, k
		}
	}
	if class != "" {
		return class, best
	}
	for _, list := range []struct {
		class impound.Class
		words []string
	}{{impound.ClassResearcher, researchAgents}, {impound.ClassMailGate, mailAgents}, {impound.ClassScanner, scannerAgents}} {
		for _, w := range list.words {
			if strings.Contains(l, w) {
				return list.class, w
			}
		}
	}
	return "", ""
}

func isBrowser(ua string) bool {
	return strings.HasPrefix(ua, "Mozilla/5.0 (") && (strings.Contains(ua, "Gecko/") || strings.Contains(ua, "AppleWebKit/") || strings.Contains(ua, "Trident/"))
}

func isWebmail(referer string) bool {
	for _, h := range webmailHosts {
		if referer == h || strings.HasPrefix(referer, h) || strings.HasSuffix(referer, "."+h) {
			return true
		}
	}
	return false
}

// isNotice says whether everybody who comes asks for path: it tells nothing.
func isNotice(path string) bool {
	switch path {
	case "", "/", "*", "/index.html", "/index.htm", "/index.php", "/robots.txt", "/sitemap.xml", "/security.txt":
		return true
	}
	return strings.HasPrefix(path, "/.well-known/") || isAsset(path)
}

func isAsset(path string) bool {
	if path == "/favicon.ico" || strings.HasPrefix(path, "/apple-touch-icon") {
		return true
	}
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return false
	}
	switch strings.ToLower(path[i:]) {
	case ".css", ".js", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".ico", ".woff", ".woff2", ".map":
		return true
	}
	return false
}

func isOdd(path string) bool {
	l := strings.ToLower(path)
	for _, o := range oddPaths {
		if strings.HasPrefix(l, o) || len(o) > 5 && strings.Contains(l, o) {
			return true
		}
	}
	return strings.HasSuffix(l, ".cgi") || strings.HasSuffix(l, ".sql") || strings.HasSuffix(l, ".bak")
}

// The marks that stand in a path for what may not be kept.
const (
	tokenMark = "{token}"
	mailMark  = "{mail}"
)

// isPersonal says whether path holds a segment like the tokens by which lures
// know the person: 12 octets or more that mix letters and digits without being
// words, or a long run of hex or base64. It is a sign, not proof.
func isPersonal(path string) bool {
	if isOdd(path) || isAsset(path) || isNotice(path) {
		return false
	}
	for seg := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		// What stood here the sensor, or CleanPath, took out.
		if seg == mailMark || seg == tokenMark || isToken(seg) {
			return true
		}
	}
	return false
}

func isToken(s string) bool {
	if len(s) < 12 || len(s) > 256 {
		return false
	}
	letters, digits, changes := 0, 0, 0
	prev := 0
	for _, c := range s {
		kind := 0
		switch {
		case c >= '0' && c <= '9':
			kind = 1
			digits++
		case c >= 'a' && c <= 'z':
			kind = 2
			letters++
		case c >= 'A' && c <= 'Z':
			kind = 3
			letters++
		case c == '-' || c == '_' || c == '=' || c == '.' || c == '~':
			continue
		default:
			return false
		}
		if prev != 0 && kind != prev {
			changes++
		}
		prev = kind
	}
	return letters > 0 && digits >= 2 && changes >= 3
}
