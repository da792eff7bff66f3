# SPDX-License-Identifier: Apache-2.0
# Listening sockets and, as far as this user may see it, the process behind each: /proc only, so that it
# works without ss and lsof.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
require(dirname(abs_path(__FILE__)) . "/facts.pl");

# The kernel writes addresses as 32-bit words in the machine's byte order (little-endian assumed).
sub address {
  my ($hex) = @_;
  my $bytes = join '', map { scalar reverse pack 'H8', $_ } $hex =~ /(.{8})/g;
  $bytes = substr $bytes, 12 if $bytes =~ /^\0{10}\xff\xff/;    # an IPv4 address in IPv6 clothes
  return join '.', unpack 'C4', $bytes if length $bytes == 4;
  my $text = join ':', map { sprintf '%x', $_ } unpack 'n8', $bytes;
  $text =~ s/(?:^|:)0(?::0)+(?::|$)/::/;
  return $text;
}

# inode → pid, for the processes whose descriptors may be read
my %pid_of;
for my $dir (glob '/proc/[0-9]*/fd') {
  my ($pid) = $dir =~ /(\d+)/;
  opendir my $handle, $dir or next;
  for (readdir $handle) {
    my $target = readlink "$dir/$_" // next;
    $pid_of{$1} //= $pid if $target =~ /^socket:\[(\d+)\]/;
  }
}

my %seen;
for my $proto (qw(tcp tcp6 udp udp6)) {
  for (split /\n/, slurp("/proc/net/$proto") // '') {
    my @f = split;
    next unless @f > 9 && $f[1] =~ /^([0-9A-F]+):([0-9A-F]{4})$/;
    my ($where, $port) = (address($1), hex $2);
    # 0A is LISTEN; an unconnected UDP socket (07) takes from anybody
    next unless $f[3] eq ($proto =~ /tcp/ ? '0A' : '07') && $port;
    next if $seen{"$proto $where $port $f[9]"}++;
    my $pid = $pid_of{$f[9]};
    my $exe = $pid ? readlink("/proc/$pid/exe") : undef;
    my $gone = defined $exe && $exe =~ s/ \(deleted\)$//;
    my $comm = $pid ? slurp("/proc/$pid/comm") // '' : undef;
    chomp $comm if defined $comm;
    fact(type => 'socket', proto => $proto, address => $where, port => \$port, uid => \($f[7] + 0),
      user => (getpwuid $f[7])[0] // "uid $f[7]",
      public => flag($where !~ /^127\./ && $where ne '::1'),
      pid => $pid ? \$pid : undef, process => $comm, exe => $exe, deleted => flag($gone));
  }
}
