package gate

import (
	"net/netip"
	"time"
)

// builtInDate is when the facts below were last looked over. They are general
// knowledge, written down by hand, not a copy of anybody's list: small on
// purpose. LoadLists adds larger ones.
var builtInDate = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// builtInShared holds zones under which strangers hold names, and services that
// the world depends on, by kind. What the public suffix list's private section
// already holds is repeated here where a past failure or an actor made it famous.
var builtInShared = map[string]string{
	"a dynamic DNS zone": `
		mooo.com us.to strangled.net chickenkiller.com crabdance.com ignorelist.com jumpingcrab.com twilightparadox.com afraid.org
		ddns.net hopto.org zapto.org sytes.net servebeer.com serveblog.net servecounterstrike.com serveftp.com servegame.com
		servehalflife.com servehttp.com serveirc.com serveminecraft.net servemp3.com servepics.com servequake.com
		no-ip.org no-ip.biz no-ip.info no-ip.com no-ip.net noip.me noip.us no-ip.ca bounceme.net gotdns.ch hopto.me myftp.biz myftp.org
		myvnc.com redirectme.net webhop.me 3utilities.com blogsyte.com ddnsking.com onthewifi.com viewdns.net access.ly
		freedynamicdns.net freedynamicdns.org ditchyourip.com
		dyndns.org dyndns.com dyndns.info dyndns.biz dyndns.tv dyn.com homeip.net dnsalias.com dnsalias.net dnsalias.org ath.cx
		gotdns.com gotdns.org homelinux.com homelinux.net homelinux.org homeunix.com homeunix.net homeunix.org is-a-geek.com
		kicks-ass.net kicks-ass.org merseine.nu selfip.com selfip.net selfip.org selfip.info shacknet.nu webhop.net webhop.org doesntexist.com
		duckdns.org dynu.net dynu.com dynu.org freeddns.org mywire.org webredirect.org accesscam.org camdvr.org casacam.net
		ddnsfree.com ddnsgeek.com giize.com gleeze.com kozow.com loseyourip.com ooguy.com theworkpc.com 1cooldns.com 4cloud.click
		changeip.com changeip.net changeip.org dns-dns.com dynamicdns.biz dynamicdns.co.uk dynamic-dns.net ddns.info ddns.ms ddns.mobi ddns.us
		dynssl.com dyndns-office.com ikwb.com itemdb.com itsaol.com jetos.com jkub.com lflink.com lflinkup.com lflinkup.net longmusic.com
		mefound.com moneyhome.biz mrbasic.com mrbonus.com mrface.com mrslove.com my03.com mydad.info myddns.com myftp.info mylftv.com mymom.info
		mynumber.org mypicture.info mysecondarydns.com mypop3.net mypop3.org ns01.biz ns01.info ns01.us ns1.name ns2.name ns02.biz ns02.info ns02.us
		ocry.com onedumb.com onmypc.biz onmypc.info onmypc.net onmypc.org onmypc.us organiccrap.com otzo.com ourhobby.com pcanywhere.net
		port25.biz proxydns.com qhigh.com qpoe.com rebatesrule.net sellclassics.com sendsmtp.com serveuser.com serveusers.com sexidude.com
		sexxxy.biz sixth.biz squirly.info ssl443.org sub-dns.com toh.info toythieves.com trickip.net trickip.org vizvaz.com wha.la wikaba.com
		wwwhost.biz wwwhost.us x24hr.com xxuz.com xxxy.biz xxxy.info ygto.com youdontcare.com yourtrap.com zyns.com zzux.com
		dns04.com dns05.com dns1.us dns2.us dnset.com dnsrd.com dsmtp.com dumb1.com edns.biz epac.to esmtp.biz ezua.com faqserv.com fartit.com
		freetcp.com freewww.biz freewww.info ftp1.biz ftpserver.biz gettrials.com got-game.org gr8domain.biz gr8name.biz https443.net https443.org
		instanthq.com isasecret.com almostmy.com acmetoy.com americanunfinished.com authorizeddns.net authorizeddns.org authorizeddns.us
		bigmoney.biz compress.to cleansite.biz cleansite.info cleansite.us 
		dnsdynamic.org dnsdynamic.com dtdns.net dtdns.com darktech.org etowns.net flnet.org 3d-game.com 4irc.com b0ne.com bbsindex.com chatnook.com
		dns.army dns.navy v6.army v6.navy v6.rocks dynv6.net nsupdate.info ipq.co dedyn.io desec.io spdns.de spdns.eu spdns.org selfhost.de
		goip.de now-dns.net now-dns.org nowddns.com now-ip.net now-ip.org sn.mynetname.net myqnapcloud.com synology.me diskstation.me dscloud.me
		myds.me i234.me ddns.me asuscomm.com tplinkdns.com dyndns.dk 3322.org 3322.net f3322.net f3322.org 8866.org 7766.org 8800.org 9966.org 2288.org 6600.org
		vicp.net vicp.cc oicp.net gicp.net xicp.net imwork.net eicp.net wicp.net uicp.cn 51vip.biz iok.la
		cloudns.cc cloudns.cl cloudns.nz cloudns.org cloudns.ph cloudns.be cloudns.asia cloudns.info cloudns.pro cloudns.pw cloudns.us
		25u.com 2waky.com 3-a.net 4dq.com 4pu.com dhcp.biz jungleheart.com justdied.com lflinkup.org mynetav.com mynetav.net mynetav.org ninth.biz ns3.name serverpit.com www1.biz youdontcare.net
		linkpc.net publicvm.com work.gd run.place line.pm info.gf wiki.gd soon.it fortiddns.com myddns.rocks tftpd.net
		nip.io sslip.io xip.io traefik.me localtest.me lvh.me`,
	"a hosting service's zone": `
		github.io gitlab.io bitbucket.io githubusercontent.com netlify.app netlify.com vercel.app now.sh herokuapp.com herokussl.com onrender.com render.com
		fly.dev railway.app up.railway.app surge.sh glitch.me repl.co replit.dev replit.app replit.com stackblitz.io codesandbox.io csb.app codepen.io jsfiddle.net
		pages.dev workers.dev trycloudflare.com r2.dev deno.dev edgecompute.app
		web.app firebaseapp.com firebaseio.com appspot.com run.app cloudfunctions.net googleusercontent.com googleapis.com translate.goog withgoogle.com
		blogspot.com blogger.com sites.google.com wordpress.com wixsite.com wix.com wixstudio.io editorx.io weebly.com weeblysite.com squarespace.com strikingly.com
		webflow.io webflow.com mystrikingly.com jimdosite.com jimdofree.com jimdo.com yolasite.com webnode.com webnode.page tumblr.com livejournal.com
		medium.com substack.com ghost.io hatenablog.com blog.jp over-blog.com canalblog.com tripod.com angelfire.com geocities.com ucoz.com ucoz.net narod.ru
		000webhostapp.com 000webhost.com infinityfreeapp.com epizy.com rf.gd freehosting.com byethost.com byet.org atwebpages.com awardspace.com
		hostingerapp.com hostinger.com hostingersite.com altervista.org biz.nf free.fr chez.com co.nf x10host.com x10.mx webcindario.com eu5.org eu5.net orgfree.com
		my-free.website my3gb.com ezyro.com great-site.net 42web.io liveblog365.com
		azurewebsites.net azurestaticapps.net azureedge.net azurefd.net cloudapp.net cloudapp.azure.com azure.com azure-api.net azure-mobile.net trafficmanager.net windows.net blob.core.windows.net
		core.windows.net sharepoint.com onmicrosoft.com onedrive.com live.com dynamics.com powerappsportals.com microsoftonline.com
		amazonaws.com awsapps.com elasticbeanstalk.com cloudfront.net amplifyapp.com awsstatic.com s3.amazonaws.com lightsail.aws
		digitaloceanspaces.com ondigitalocean.app linodeobjects.com linode.com vultrobjects.com backblazeb2.com wasabisys.com ovh.net ovh.com your-server.de contabo.net contabo.host
		xsph.ru mybluehost.me b-cdn.net egnyte.com xsrv.jp cafe24.com contaboserver.net myftpupload.com app.link screenconnect.com
		cprapid.com myhuaweicloud.com aliyuncs.com myqcloud.com tencentcs.com bcebos.com
		ngrok.io ngrok.app ngrok-free.app ngrok-free.dev ngrok.dev loca.lt localtunnel.me serveo.net localhost.run lhr.life lhr.rocks pinggy.link pagekite.me portmap.io portmap.host ply.gg playit.gg devtunnels.ms
		bubbleapps.io retool.com softr.app notion.site notion.so typeform.com jotform.com formstack.com google.co gitbook.io readthedocs.io
		myshopify.com shopify.com bigcartel.com square.site carrd.co about.me bio.link beacons.ai
		ipfs.io dweb.link cf-ipfs.com nftstorage.link fleek.co w3s.link arweave.net 4everland.io
		hubspot.com hubspotpagebuilder.com hs-sites.com mailchimp.com mailerlite.com mailchi.mp list-manage.com sendgrid.net constantcontact.com ctctusercontent.com ct.sendgrid.net
		zendesk.com freshdesk.com atlassian.net atlassian.com slack.com trello.com force.com salesforce.com my.salesforce-sites.com service-now.com
		eu.org pp.ua co.cc cu.cc uk.to co.vu de.vu js.org is-a.dev`,
	"a link shortener": `
		bit.ly bitly.com tinyurl.com t.co goo.gl ow.ly is.gd v.gd buff.ly cutt.ly rebrand.ly rb.gy shorturl.at short.io t.ly tiny.cc bl.ink lnkd.in
		soo.gd s.id adf.ly bit.do mcaf.ee urlz.fr x.co youtu.be amzn.to fb.me db.tt wp.me git.io aka.ms 1drv.ms dlvr.it trib.al hyperurl.co shorte.st
		u.to qr.ae su.pr clck.ru vk.cc goo.su surl.li urlzs.com tny.im snip.ly snipurl.com ity.im po.st smarturl.it linktr.ee lnk.to kutt.it han.gl me2.do reurl.cc lihi.cc t.me wa.me`,
	"a file or text sharing service": `
		dropbox.com dropboxusercontent.com drive.google.com docs.google.com box.com mediafire.com mega.nz mega.io wetransfer.com we.tl sendspace.com 4shared.com
		zippyshare.com anonfiles.com gofile.io file.io transfer.sh pastebin.com paste.ee hastebin.com ghostbin.com rentry.co controlc.com justpaste.it telegra.ph
		scribd.com slideshare.net issuu.com pcloud.com icloud-content.com filetransfer.io ufile.io send.cm files.fm catbox.moe imgur.com ibb.co postimg.cc archive.org discordapp.com discordapp.net discord.com discord.gg`,
	"among the most used names of the world": `
		google.com youtube.com facebook.com instagram.com twitter.com x.com whatsapp.com whatsapp.net wikipedia.org wikimedia.org yahoo.com yahoo.co.jp reddit.com amazon.com
		amazon.de amazon.co.uk amazon.co.jp amazon.in amazon.fr microsoft.com office.com office365.com office.net outlook.com hotmail.com msn.com bing.com windows.com windowsupdate.com skype.com
		linkedin.com netflix.com nflxvideo.net apple.com icloud.com mzstatic.com aaplimg.com apple-dns.net cdn-apple.com me.com tiktok.com tiktokcdn.com tiktokv.com bytedance.com
		pinterest.com telegram.org signal.org zoom.us zoom.com vk.com ok.ru mail.ru yandex.ru yandex.com yandex.net ya.ru dzen.ru rambler.ru
		baidu.com qq.com weibo.com taobao.com tmall.com jd.com alibaba.com aliexpress.com alipay.com sina.com.cn sohu.com 163.com 126.com bilibili.com douyin.com
		google.co.uk google.de google.fr google.co.jp google.com.br google.co.in google.ru google.it google.es google.ca google.com.hk gstatic.com googlevideo.com
		googletagmanager.com google-analytics.com googleadservices.com googlesyndication.com doubleclick.net ytimg.com ggpht.com gmail.com googlemail.com gvt1.com gvt2.com android.com chrome.com chromium.org app-measurement.com
		fbcdn.net cdninstagram.com fb.com meta.com messenger.com threads.net twimg.com
		akamai.net akamaiedge.net akamaihd.net akamai.com edgekey.net edgesuite.net akadns.net akam.net fastly.net fastly.com cloudflare.com cloudflare.net cloudflare-dns.com cloudflareinsights.com
		jsdelivr.net unpkg.com cdnjs.com bootstrapcdn.com jquery.com fontawesome.com gravatar.com wp.com wordpress.org w3.org
		github.com gitlab.com bitbucket.org stackoverflow.com stackexchange.com npmjs.com npmjs.org pypi.org golang.org go.dev rust-lang.org python.org debian.org ubuntu.com mozilla.org mozilla.com firefox.com
		adobe.com adobe.io paypal.com stripe.com ebay.com ebay.de visa.com mastercard.com chase.com bankofamerica.com wellsfargo.com citibank.com hsbc.com
		nytimes.com bbc.com bbc.co.uk cnn.com theguardian.com washingtonpost.com reuters.com bloomberg.com forbes.com wsj.com foxnews.com dailymail.co.uk spiegel.de lemonde.fr
		spotify.com soundcloud.com twitch.tv ttvnw.net steampowered.com steamcommunity.com roblox.com epicgames.com ea.com playstation.com playstation.net xbox.com xboxlive.com nintendo.net nintendo.com
		booking.com airbnb.com tripadvisor.com expedia.com uber.com walmart.com target.com etsy.com ikea.com bestbuy.com homedepot.com
		samsung.com huawei.com xiaomi.com oracle.com ibm.com intel.com nvidia.com cisco.com hp.com dell.com vmware.com sap.com citrix.com sentry.io datadoghq.com newrelic.com nr-data.net
		duckduckgo.com proton.me protonmail.com protonmail.ch tutanota.com tuta.com gmx.net gmx.de web.de t-online.de orange.fr laposte.net libero.it aol.com comcast.net comcast.com verizon.com att.com
		godaddy.com namecheap.com gandi.net porkbun.com ionos.com name.com networksolutions.com enom.com tucows.com verisign.com icann.org iana.org root-servers.net gtld-servers.net ntp.org letsencrypt.org digicert.com sectigo.com globalsign.com
		nih.gov nasa.gov cdc.gov usa.gov irs.gov state.gov europa.eu who.int un.org gov.uk service.gov.uk harvard.edu mit.edu stanford.edu berkeley.edu cam.ac.uk ox.ac.uk
		openai.com chatgpt.com anthropic.com claude.ai huggingface.co canva.com figma.com quora.com imdb.com fandom.com weather.com accuweather.com espn.com indeed.com craigslist.org yelp.com
		sciencedirect.com springer.com nature.com researchgate.net academia.edu ssrn.com jstor.org wiley.com doi.org arxiv.org`,
	"a security provider's or news site": `
		virustotal.com urlscan.io shodan.io censys.io any.run hybrid-analysis.com abuse.ch shadowserver.org spamhaus.org kaspersky.com securelist.com symantec.com
		mandiant.com fireeye.com crowdstrike.com sentinelone.com proofpoint.com trendmicro.com eset.com welivesecurity.com talosintelligence.com recordedfuture.com
		checkpoint.com paloaltonetworks.com secureworks.com sophos.com bitdefender.com clearskysec.com certfa.com citizenlab.ca accessnow.org
		bleepingcomputer.com thehackernews.com securityaffairs.com krebsonsecurity.com theregister.com arstechnica.com wired.com zdnet.com techcrunch.com therecord.media cyberscoop.com darkreading.com threatpost.com securityweek.com
		cyware.com malpedia.caad.fkie.fraunhofer.de mitre.org attack.mitre.org ncsc.gov.uk cisa.gov justice.gov fbi.gov ic3.gov cert.gov.ua bsi.bund.de ssi.gouv.fr nist.gov`,
}

// builtInSinkholes are zones of well-known sinkholes and seizures: names in
// them, and names that are delegated to servers in them, are somebody's work.
const builtInSinkholes = `
	microsoftinternetsafety.net sinkhole.shadowserver.org sinkdns.org sinkhole.ch sinkhole.tech csof.net honeybot.us
	sinkhole.cert.pl anubisnetworks.com
	seizedservers.com cirfu.net torpig-sinkhole.org 
	abuse.ch virustracker.info virustracker.net 
	arbor-sinkhole.net`

// builtInParking are domains of the name servers of parking services.
const builtInParking = `
	sedoparking.com parkingcrew.net bodis.com above.com parklogic.com afternic.com dan.com undeveloped.com
	parkingpage.namecheap.com uniregistrymarket.link voodoo.com rookdns.com ztomy.com fabulous.com
	cashparking.com namedrive.com domainsponsor.com`

// sharedNets are networks where one address serves thousands of strangers
// (Cloudflare, www.cloudflare.com/ips, the same since 2021), so that it says
// nothing of one name that has it.
var sharedNets = []netip.Prefix{
	netip.MustParsePrefix("104.16.0.0/13"), netip.MustParsePrefix("104.24.0.0/14"), netip.MustParsePrefix("172.64.0.0/13"), netip.MustParsePrefix("188.114.96.0/20"),
	netip.MustParsePrefix("162.158.0.0/15"), netip.MustParsePrefix("198.41.128.0/17"), netip.MustParsePrefix("190.93.240.0/20"), netip.MustParsePrefix("2606:4700::/32"),
}

// sellers are private suffixes whose company sells the names below as a registry
// does, with WHOIS or RDAP and a register of its own (CentralNic's and others',
// public suffix list of 2026): an order can be served on it, not on the registry
// of the top-level domain.
const sellers = `
	ae.org br.com cn.com com.de com.se de.com eu.com gb.com gb.net gr.com hu.com hu.net in.net jp.net jpn.com kr.com mex.com no.com qc.com ru.com
	sa.com se.com se.net uk.com uk.net us.com us.org uy.com za.bz za.com co.com co.nl co.no com.ru net.ru org.ru pp.ru msk.ru spb.ru msk.su spb.su eu.org`
