# SPDX-License-Identifier: Apache-2.0
# Mounted file systems and how full they are.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
require(dirname(abs_path(__FILE__)) . "/facts.pl");

sub usage {    # path → [kilobytes or inodes in all, used, percent] by df
  my ($option) = @_;
  my %usage;
  open my $df, '-|', 'sh', '-c', "df -P $option 2>/dev/null" or return {};
  while (<$df>) {
    next unless m{^\S.*?\s(\d+)\s+(\d+)\s+(\d+)\s+(\d+)%\s+(/.*)$};
    $usage{$5} = [$1, $2, $4];
  }
  return \%usage;
}

my ($space, $inodes) = (usage('-k'), usage('-i'));
# Of several mounts on one path only the last is seen.
my (%last, @paths);
for (split /\n/, slurp('/proc/self/mounts') // '') {
  my $path = (split / /)[1];
  push @paths, $path unless $last{$path};
  $last{$path} = $_;
}
for (@last{@paths}) {
  my ($device, $path, $kind, $options) = split / /;
  s/\\([0-7]{3})/chr oct $1/ge for $device, $path;
  my %on = map { $_ => 1 } split /,/, $options;
  my ($s, $i) = ($space->{$path}, $inodes->{$path});
  fact(type => 'mount', device => $device, path => $path, kind => $kind, options => [split /,/, $options],
    readonly => flag($on{ro}), nosuid => flag($on{nosuid}), nodev => flag($on{nodev}), noexec => flag($on{noexec}),
    kilobytes => $s ? \$s->[0] : undef, used_percent => $s ? \$s->[2] : undef,
    inodes_percent => $i ? \$i->[2] : undef);
}
