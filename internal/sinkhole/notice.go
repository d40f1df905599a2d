package sinkhole

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/impound/impound/internal/sinkhole/policy"
)

// words is the notice in one language.
type words struct {
	Lang, Dir         string
	Title             string
	What              string
	Kept              string
	Court             string
	Now               string
	Entered           string
	Steps             []string
	Call, NoCall      string
	Safe              string
	Name, SinkholeOne string
}

var notices = []words{
	{
		Lang: "en", Dir: "ltr",
		Title:       "This address was used to deceive people",
		SinkholeOne: "This page takes the place of a page that imitated a service you may trust, in order to steal passwords. The name was seized. Nothing you see here is from those who sent you the link.",
		What:        "What happened",
		Kept:        "Only that somebody came is noted here, as the order allows, so that those who were targeted can be warned. What you type or send is not read.",
		Court:       "What the order says",
		Now:         "What to do now",
		Entered:     "If you entered a password or a code here or on a page like it, take these steps from a device you trust:",
		Steps: []string{
			"Open the real service by typing its address yourself, and change your password there.",
			"Sign out everywhere: end all other sessions in the account's security settings.",
			"Look for forwarding rules, filters and delegates that you did not set, and remove them.",
			"Remove app passwords and connected apps that you do not know.",
			"Check the recovery address and telephone number of the account.",
			"Turn on a passkey or a security key: it can't be given to a false page.",
		},
		Call:   "Who to call",
		NoCall: "Call the security team of your organisation. If you have none, call your national CSIRT.",
		Safe:   "If you only opened the link and entered nothing, tell your security team all the same: you may get more of such messages.",
		Name:   "Seized name",
	},
	{
		Lang: "fr", Dir: "ltr",
		Title:       "Cette adresse servait à tromper",
		SinkholeOne: "Cette page remplace une page qui imitait un service de confiance pour voler des mots de passe. Le nom a été saisi. Rien ici ne vient de ceux qui vous ont envoyé le lien.",
		What:        "Ce qui s’est passé",
		Kept:        "Il est seulement noté que quelqu’un est venu, dans les limites de la décision, afin de pouvoir avertir les personnes visées. Ce que vous tapez ou envoyez n’est pas lu.",
		Court:       "Texte de la décision",
		Now:         "Que faire maintenant",
		Entered:     "Si vous avez saisi un mot de passe ou un code ici ou sur une page semblable, faites ceci depuis un appareil sûr :",
		Steps: []string{
			"Ouvrez le vrai service en tapant vous-même son adresse et changez-y votre mot de passe.",
			"Déconnectez-vous partout : fermez toutes les autres sessions dans les réglages de sécurité du compte.",
			"Cherchez les règles de transfert, filtres et délégations que vous n’avez pas créés, et supprimez-les.",
			"Supprimez les mots de passe d’application et les applications connectées que vous ne connaissez pas.",
			"Vérifiez l’adresse et le numéro de téléphone de récupération du compte.",
			"Activez une clé d’accès (passkey) ou une clé de sécurité : on ne peut pas la donner à une fausse page.",
		},
		Call:   "Qui appeler",
		NoCall: "Appelez l’équipe de sécurité de votre organisation. À défaut, appelez le CSIRT national.",
		Safe:   "Si vous avez seulement ouvert le lien sans rien saisir, prévenez tout de même votre équipe de sécurité : d’autres messages pourraient suivre.",
		Name:   "Nom saisi",
	},
	{
		Lang: "de", Dir: "ltr",
		Title:       "Diese Adresse diente der Täuschung",
		SinkholeOne: "Diese Seite steht an der Stelle einer Seite, die einen vertrauten Dienst nachahmte, um Passwörter zu stehlen. Der Name wurde beschlagnahmt. Nichts hier stammt von denen, die Ihnen den Link geschickt haben.",
		What:        "Was geschehen ist",
		Kept:        "Festgehalten wird nur, dass jemand hier war, soweit die Anordnung es erlaubt, damit Betroffene gewarnt werden können. Was Sie eingeben oder senden, wird nicht gelesen.",
		Court:       "Wortlaut der Anordnung",
		Now:         "Was jetzt zu tun ist",
		Entered:     "Wenn Sie hier oder auf einer ähnlichen Seite ein Passwort oder einen Code eingegeben haben, gehen Sie an einem sicheren Gerät so vor:",
		Steps: []string{
			"Öffnen Sie den echten Dienst, indem Sie seine Adresse selbst eintippen, und ändern Sie dort Ihr Passwort.",
			"Melden Sie sich überall ab: Beenden Sie in den Sicherheitseinstellungen alle anderen Sitzungen.",
			"Suchen Sie nach Weiterleitungen, Filtern und Stellvertretungen, die nicht von Ihnen sind, und löschen Sie sie.",
			"Entfernen Sie App-Passwörter und verbundene Apps, die Sie nicht kennen.",
			"Prüfen Sie Wiederherstellungsadresse und Telefonnummer des Kontos.",
			"Richten Sie einen Passkey oder einen Sicherheitsschlüssel ein: Er lässt sich keiner falschen Seite geben.",
		},
		Call:   "Wen Sie anrufen",
		NoCall: "Rufen Sie das Sicherheitsteam Ihrer Organisation an. Gibt es keines, das nationale CSIRT.",
		Safe:   "Wenn Sie den Link nur geöffnet und nichts eingegeben haben, sagen Sie es trotzdem Ihrem Sicherheitsteam: Es können weitere Nachrichten folgen.",
		Name:   "Beschlagnahmter Name",
	},
	{
		Lang: "es", Dir: "ltr",
		Title:       "Esta dirección se usaba para engañar",
		SinkholeOne: "Esta página ocupa el lugar de otra que imitaba un servicio de confianza para robar contraseñas. El nombre fue incautado. Nada de lo que ve aquí procede de quienes le enviaron el enlace.",
		What:        "Qué ha pasado",
		Kept:        "Solo se anota que alguien vino, en la medida en que la orden lo permite, para poder avisar a las personas afectadas. Lo que usted escriba o envíe no se lee.",
		Court:       "Texto de la orden",
		Now:         "Qué hacer ahora",
		Entered:     "Si introdujo una contraseña o un código aquí o en una página parecida, haga lo siguiente desde un dispositivo de confianza:",
		Steps: []string{
			"Abra el servicio verdadero escribiendo usted mismo su dirección y cambie allí la contraseña.",
			"Cierre la sesión en todas partes: termine todas las demás sesiones en los ajustes de seguridad de la cuenta.",
			"Busque reglas de reenvío, filtros y delegaciones que usted no haya creado y elimínelos.",
			"Elimine las contraseñas de aplicación y las aplicaciones conectadas que no conozca.",
			"Compruebe la dirección y el teléfono de recuperación de la cuenta.",
			"Active una clave de acceso (passkey) o una llave de seguridad: no se puede entregar a una página falsa.",
		},
		Call:   "A quién llamar",
		NoCall: "Llame al equipo de seguridad de su organización. Si no lo hay, al CSIRT nacional.",
		Safe:   "Si solo abrió el enlace y no introdujo nada, avise igualmente a su equipo de seguridad: pueden llegarle más mensajes así.",
		Name:   "Nombre incautado",
	},
}

const noticeStyle = `:root{color-scheme:light dark}body{font:1.05rem/1.55 system-ui,sans-serif;max-width:42rem;margin:2rem auto;padding:0 1rem}h1{line-height:1.25}.name,.court{overflow-wrap:anywhere}.court{white-space:pre-wrap;border-inline-start:.3rem solid;padding-inline-start:1rem}li{margin:.4rem 0}nav a{margin-inline-end:.8rem}`

var noticeCSP = func() string {
	h := sha256.Sum256([]byte(noticeStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(h[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// zoneMark stands where the page names the seized name; no text can hold it.
const zoneMark = "\x1fZONE\x1f"

var noticeTemplate = template.Must(template.New("notice").Parse(`<!DOCTYPE html>
<html lang="{{.W.Lang}}" dir="{{.W.Dir}}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{{.W.Title}}</title>
<style>{{.Style}}</style>
</head>
<body>
<main>
<h1>{{.W.Title}}</h1>
<p class="name">{{.W.Name}}: <strong>{{.Mark}}</strong></p>
<h2>{{.W.What}}</h2>
<p>{{.W.SinkholeOne}}</p>
<p>{{.W.Kept}}</p>
{{if .Notice}}<h2>{{.W.Court}}</h2>
<p class="court">{{.Notice}}</p>
{{end}}<h2>{{.W.Now}}</h2>
<p>{{.W.Entered}}</p>
<ol>
{{range .W.Steps}}<li>{{.}}</li>
{{end}}</ol>
<p>{{.W.Safe}}</p>
<h2>{{.W.Call}}</h2>
<p>{{.W.NoCall}}</p>
{{if .Contact}}<p class="name"><strong>{{.Contact}}</strong></p>
{{end}}</main>
</body>
</html>
`))

// noticePages holds the pages of each order, made when first asked for.
type noticePages struct {
	contact string
	mu      sync.RWMutex
	made    map[pageKey]*page
}

type pageKey struct {
	order string // hash
	lang  int
}

func newNoticePages(contact string) *noticePages {
	return &noticePages{contact: contact, made: map[pageKey]*page{}}
}

// page gives the order's notice in the language that suits the Accept-Language
// header best, English when none does.
func (n *noticePages) page(m policy.Match, accept string) *page {
	i := pickLang(accept)
	k := pageKey{m.Order.Hash, i}
	n.mu.RLock()
	p := n.made[k]
	n.mu.RUnlock()
	if p != nil {
		return p
	}
	p = &page{lang: notices[i].Lang}
	var b bytes.Buffer
	err := noticeTemplate.Execute(&b, map[string]any{
		"W": notices[i], "Style": template.CSS(noticeStyle), "Mark": zoneMark,
		"Notice": clean(m.Order.Notice), "Contact": clean(n.contact),
	})
	if err != nil { // a template that the tests run
		b.Reset()
	}
	p.before, p.after, _ = bytes.Cut(b.Bytes(), []byte(zoneMark))
	v := verdict{ours: true, page: p}
	v.header(func(k, value string) {
		p.fields = append(p.fields, k+": "+value+"\r\n"...)
	})
	n.mu.Lock()
	if len(n.made) > 1024 {
		clear(n.made)
	}
	n.made[k] = p
	n.mu.Unlock()
	return p
}

func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}

// pickLang reads an Accept-Language header (RFC 9110 12.5.4), leniently.
func pickLang(accept string) int {
	if len(accept) > 500 {
		accept = accept[:500]
	}
	best, bestQ := 0, 0.0
	for part := range strings.SplitSeq(accept, ",") {
		tag, params, _ := strings.Cut(part, ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil || !(f >= 0 && f <= 1) {
				continue
			}
			q = f
		}
		primary, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		i := slices.IndexFunc(notices, func(w words) bool { return w.Lang == primary })
		if i >= 0 && q > bestQ {
			best, bestQ = i, q
		}
	}
	return best
}
