package match

import (
	"cmp"
	"slices"
)

// lures are words that names of phishing pages carry beside the brand: in
// English and in the languages that we have met, romanised. Ordinary names use
// them too: each only adds to a score. Kept by hand.
var lureList = []string{
	// signing in, accounts
	"login", "logon", "signin", "signon", "sign", "log", "account", "accounts", "myaccount", "acct", "auth", "authenticate", "authentication", "authorize",
	"password", "passwd", "reset", "recover", "recovery", "unlock", "locked", "user", "users", "userid", "username", "member", "members", "id", "sso", "mfa", "otp", "session", "profile", "portal", "access", "credential", "identity",
	// checking, warning, safety
	"verify", "verified", "verification", "verifications", "verif", "validate", "validation", "confirm", "confirmation", "secure", "secured", "security", "securities", "safe", "safety", "protect", "protection", "alert", "alerts", "notice", "notify", "notification", "notifications", "warning", "suspended", "suspend", "limited", "restricted", "restore", "resolve", "unusual", "activity", "review", "check", "update", "updates", "updating", "upgrade", "renew", "renewal", "expire", "expired", "activate", "activation", "reactivate",
	// service and support
	"service", "services", "servicing", "support", "supports", "help", "helpdesk", "assist", "assistance", "customer", "customers", "client", "clients", "care", "center", "centre", "desk", "team", "admin", "staff", "official", "info", "information", "infos", "contact", "online", "web", "www", "mobile", "app", "apps", "site", "page", "home", "my", "net", "com", "co", "jp", "org", "cloud", "drive", "docs", "document", "documents", "file", "files", "share", "shared", "download", "view", "live", "mail", "email", "webmail", "inbox", "message", "messages", "meeting", "invite", "calendar",
	// money, post
	"bank", "banking", "card", "cards", "credit", "debit", "pay", "payment", "payments", "bill", "billing", "invoice", "refund", "tax", "wallet", "transfer", "transaction", "order", "orders", "shop", "store", "point", "points", "bonus", "reward", "rewards", "gift", "prime", "campaign", "delivery", "track", "tracking", "parcel", "package", "post", "express", "ticket", "reservation", "claim", "win",
	// Japanese, romanised
	"kaiin", "kakunin", "ninsho", "ninshou", "hogo", "anzen", "toroku", "touroku", "henko", "koushin", "kousin", "shiharai", "seikyu", "meisai", "kanri", "jimukyoku", "madoguchi", "yoyaku", "haitatsu", "saihaitatsu", "nimotsu", "henkin", "kyufu", "kyufukin", "japan", "nihon", "nippon", "tokyo", "ginko", "direct", "kojin", "houjin", "entry", "mypage", "koukai", "sinsei", "shinsei",
	// German, French, Spanish, Portuguese, Italian, Turkish, Russian, Chinese, romanised
	"anmelden", "anmeldung", "konto", "sicherheit", "kunde", "kunden", "kundenservice", "bestatigung", "aktualisieren", "connexion", "compte", "securite", "mise", "cuenta", "seguridad", "verificar", "iniciar", "sesion", "acceso", "cliente", "clientes", "soporte", "ayuda", "conta", "seguranca", "acesso", "atendimento", "suporte", "accesso", "verifica", "sicurezza", "assistenza", "clienti", "hesap", "giris", "guvenlik", "vhod", "zhanghu", "denglu", "anquan", "kefu", "yanzheng",
}

// strongLures are those that few ordinary names hold: two of them make a
// candidate without any brand.
var strongLures = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range []string{
		"login", "logon", "signin", "signon", "account", "accounts", "myaccount", "auth", "authenticate", "authentication", "password", "reset", "recover", "recovery", "unlock",
		"verify", "verified", "verification", "verifications", "validate", "validation", "confirm", "confirmation", "secure", "secured", "security", "alert", "alerts", "notification", "notifications", "suspended", "update", "updates", "activate", "activation", "reactivate",
		"service", "services", "support", "helpdesk", "webmail", "mail", "email", "inbox", "session", "identity", "identifier", "customer", "live", "online", "user", "users",
	} {
		m[w] = true
	}
	return m
}()

const maxLure = 16

var lures = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range lureList {
		if len(w) <= maxLure {
			m[w] = true
		}
	}
	return m
}()

// luresBy holds the lure words by their first two letters, the longest first.
var luresBy = func() (by [1 << 10][]string) {
	for w := range lures {
		if i, ok := lurePair([]byte(w)); ok {
			by[i] = append(by[i], w)
		}
	}
	for i := range by {
		slices.SortFunc(by[i], func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	}
	return by
}()

// strongBy says with which two letters a strong lure word begins.
var strongBy = func() (by [1 << 10]bool) {
	for w := range strongLures {
		if i, ok := lurePair([]byte(w)); ok {
			by[i] = true
		}
	}
	return by
}()

func lurePair(b []byte) (int, bool) {
	if len(b) < 2 || b[0]-'a' > 25 || b[1]-'a' > 25 {
		return 0, false
	}
	return int(b[0]-'a')<<5 | int(b[1]-'a'), true
}

// lureWord gives the longest lure word at the start of b, 0 for none. Words of
// up to three letters count as whole words only.
func lureWord(b []byte) int {
	i, ok := lurePair(b)
	if !ok {
		return 0
	}
	for _, w := range luresBy[i] {
		n := len(w)
		if n > len(b) || string(b[:n]) != w || n <= 3 && n < len(b) && class[b[n]] == clsLetter {
			continue
		}
		return n
	}
	return 0
}
