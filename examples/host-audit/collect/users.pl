# SPDX-License-Identifier: Apache-2.0
# Users, groups and memberships. What only root may know (the state of a password) is `unknown` to others.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
require(dirname(abs_path(__FILE__)) . "/facts.pl");

my %password;
for (split /\n/, slurp('/etc/shadow') // '') {
  my ($name, $hash) = split /:/, $_, -1;
  $password{$name} = !defined $hash || $hash eq '' ? 'empty' : $hash =~ /^[!*]/ ? 'locked' : 'set';
}

for (split /\n/, slurp('/etc/passwd') // '') {
  my ($name, $hash, $uid, $gid, undef, $home, $shell) = split /:/, $_, -1;
  next unless defined $shell && $uid =~ /^\d+$/ && $gid =~ /^\d+$/;
  my $state = $hash eq '' ? 'empty' : $hash eq 'x' ? $password{$name} // 'unknown' : $hash =~ /^[!*]/ ? 'locked' : 'set';
  my @home = stat $home;
  fact(type => 'user', name => $name, uid => \($uid + 0), gid => \($gid + 0), home => $home,
    shell => $shell eq '' ? '/bin/sh' : $shell, password => $state,
    login => flag($shell !~ m{/(?:nologin|false|sync)$}),
    home_mode => @home ? sprintf('%04o', $home[2] & 07777) : undef, home_uid => @home ? \$home[4] : undef);
}

for (split /\n/, slurp('/etc/group') // '') {
  my ($name, undef, $gid, $members) = split /:/, $_, -1;
  next unless defined $gid && $gid =~ /^\d+$/;
  fact(type => 'group', name => $name, gid => \($gid + 0));
  fact(type => 'member', group => $name, user => $_) for split /,/, $members // '';
}
