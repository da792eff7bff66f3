# SPDX-License-Identifier: Apache-2.0
# Kernel settings, the system itself, and the settings of the SSH server if there is one.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
require(dirname(abs_path(__FILE__)) . "/facts.pl");

for my $key (qw(kernel.randomize_va_space kernel.kptr_restrict kernel.dmesg_restrict kernel.sysrq
  kernel.unprivileged_bpf_disabled kernel.yama.ptrace_scope fs.protected_hardlinks fs.protected_symlinks
  fs.protected_fifos fs.protected_regular fs.suid_dumpable net.ipv4.ip_forward net.ipv4.tcp_syncookies
  net.ipv4.conf.all.accept_redirects net.ipv4.conf.all.accept_source_route net.ipv4.conf.all.rp_filter
  net.ipv4.icmp_echo_ignore_broadcasts net.ipv6.conf.all.accept_redirects)) {
  (my $path = "/proc/sys/$key") =~ s{(?<=/proc/sys/)(.*)}{ (my $k = $1) =~ tr{.}{/}; $k }e;
  my $value = slurp($path) // next;
  fact(type => 'setting', key => $key, value => \($1 + 0)) if $value =~ /^(-?\d+)\s*$/;
}

my %os = map { /^(\w+)="?([^"]*)"?$/ ? ($1, $2) : () } split /\n/, slurp('/etc/os-release') // '';
my $release = slurp('/proc/sys/kernel/osrelease') // '';
my $name = slurp('/proc/sys/kernel/hostname') // '';
my ($up) = (slurp('/proc/uptime') // '') =~ /^(\d+)/;
chomp($release, $name);
fact(type => 'system', host => $name, os => $os{PRETTY_NAME} // 'unknown', kernel => $release,
  up_seconds => \($up // 0), root => flag($> == 0));

my %ssh;
for my $file ('/etc/ssh/sshd_config', glob '/etc/ssh/sshd_config.d/*.conf') {
  for (split /\n/, slurp($file) // '') {
    last if /^\s*Match\b/i;
    next unless /^\s*([A-Za-z]+)\s*[\s=]\s*"?([^"#\s]+)/;
    $ssh{lc $1} //= [lc $2, $file];    # the first one counts
  }
}
fact(type => 'ssh', key => $_, value => $ssh{$_}[0], file => $ssh{$_}[1]) for sort keys %ssh;
