#!/usr/bin/perl
# Drives the practice registry with Net::EPP, as a registrar's script would.
# Usage: netepp.pl HOST PORT ID PASSWORD CA CERT KEY
use strict;
use warnings;
use Net::EPP::Simple;
use Net::EPP::Frame;

my ($host, $port, $id, $pw, $ca, $cert, $key) = @ARGV;
my $domain = 'outlook-verify.example';
my @sink   = ('ns1.sinkhole.invalid', 'ns2.sinkhole.invalid');
$| = 1;

my $epp = Net::EPP::Simple->new(
	host => $host, port => $port, user => $id, pass => $pw, timeout => 20,
	verify => 1, ca_file => $ca, cert => $cert, key => $key, load_config => 0,
) or die "no session: $Net::EPP::Simple::Error\n";

my $greeting = $epp->{greeting};
my ($sv) = split /,/, $greeting->getElementsByTagName('svID')->shift->textContent;
print "server $sv\n";
print "login $Net::EPP::Simple::Code\n";

sub ds { my $f = shift; return scalar $f->getElementsByTagNameNS('urn:ietf:params:xml:ns:secDNS-1.1', 'dsData') }

# Its own info, with all that it makes of the answer.
my $info = $epp->domain_info($domain) or die "info: $Net::EPP::Simple::Error\n";

# And the frame itself, for what it doesn't read.
sub info {
	my $f = Net::EPP::Frame::Command::Info::Domain->new;
	$f->setDomain($domain);
	return $epp->request($f);
}
my $n = () = info()->getElementsByTagName('secDNS:dsData');
print "info $info->{name} $info->{clID} ns=", scalar(@{$info->{ns}}), " ds=$n\n";

print "check host ", $epp->check_host($sink[0]), "\n";
for my $h (@sink) {
	my $f = Net::EPP::Frame::Command::Create::Host->new;
	$f->setHost($h);
	my $r = $epp->request($f);
	print "create host ", $r->code, "\n" if $h eq $sink[0] || $r->code != 1000;
}

sub update {
	my $f = Net::EPP::Frame::Command::Update::Domain->new;
	$f->setDomain($domain);
	$f->addNS(@sink);
	$f->remNS(@{$info->{ns}});
	$f->addStatus($_) for qw(serverDeleteProhibited serverTransferProhibited serverUpdateProhibited);
	my ($ext, $up) = ($f->createElement('extension'), $f->createElement('secDNS:update'));
	$up->setAttribute('xmlns:secDNS', 'urn:ietf:params:xml:ns:secDNS-1.1');
	my ($rem, $all) = ($f->createElement('secDNS:rem'), $f->createElement('secDNS:all'));
	$all->appendText('true');
	$rem->appendChild($all); $up->appendChild($rem); $ext->appendChild($up);
	my $command = $f->getCommandNode->parentNode;
	my $trid = $f->getElementsByTagName('clTRID')->shift;
	$command->insertBefore($ext, $trid);
	return $epp->request($f);
}
my $r = update();
print "update ", $r->code, "\n";
warn $r->toString(1) if $r->code != 1000;
$info = $epp->domain_info($domain) or die "info: $Net::EPP::Simple::Error\n";
$n = () = info()->getElementsByTagName('secDNS:dsData');
my $locked = grep { $_ eq 'serverUpdateProhibited' } @{$info->{status}};
print "after ns=", scalar(@{$info->{ns}}), " first=$info->{ns}[0] ds=$n locked=$locked\n";
$info = { ns => ['ns1.actor-dns.example', 'ns2.actor-dns.example'] };
print "again ", update()->code, "\n";

my $wrong = $epp->request(<<"XML");
<?xml version="1.0"?>
<epp xmlns="urn:ietf:params:xml:ns:epp-1.0"><command><update><domain:update xmlns:domain="urn:ietf:params:xml:ns:domain-1.0"><domain:name>$domain</domain:name><domain:add><domain:status s="clientHold"/><domain:ns><domain:hostObj>$sink[0]</domain:hostObj></domain:ns></domain:add></domain:update></update><clTRID>order-1</clTRID></command></epp>
XML
print "wrong order ", $wrong->code, "\n";

$epp->create_domain({ name => 'fresh.example', period => 2, registrant => 'PRACTICE-1', ns => \@sink, authInfo => 'practice-1' })
	or die "create: $Net::EPP::Simple::Error $Net::EPP::Simple::Message\n";
print "create domain $Net::EPP::Simple::Code ", scalar(@{$epp->domain_info('fresh.example')->{ns}}), "\n";

sub poll {
	my $f = Net::EPP::Frame::Command::Poll::Req->new;
	return $epp->request($f);
}
my $m = poll();
my $q = $m->getElementsByTagName('msgQ')->shift;
print "poll ", $m->code, " ", $q->getElementsByTagName('msg')->shift->textContent, "\n";
my $ack = Net::EPP::Frame::Command::Poll::Ack->new;
$ack->setMsgID($q->getAttribute('id'));
print "ack ", $epp->request($ack)->code, "\n";
print "poll ", poll()->code, "\n";

my $bye = $epp->request(Net::EPP::Frame::Command::Logout->new);
print "logout ", $bye->code, "\n";
