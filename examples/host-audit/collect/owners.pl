# SPDX-License-Identifier: Apache-2.0
# Which package owns a file: reads paths, one a line, and answers for those that dpkg knows. One pass over
# dpkg's file lists, since `dpkg -S` takes a pass for every path and misses files seen through merged /usr.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
require(dirname(abs_path(__FILE__)) . "/facts.pl");

my %wanted;
while (my $path = <STDIN>) {
  chomp $path;
  next unless $path =~ m{^/};
  $wanted{$path}{$path} = 1;
  (my $short = $path) =~ s{^/usr/}{/};
  $wanted{$short}{$path} = 1;
  $wanted{"/usr$path"}{$path} = 1 if $path =~ m{^/(?:s?bin|lib)};
}
exit 0 unless %wanted;

my %done;
for my $list (glob '/var/lib/dpkg/info/*.list') {
  my ($package) = $list =~ m{([^/:]+)(?::[^/]*)?\.list$};
  open my $file, '<', $list or next;
  while (my $path = <$file>) {
    chomp $path;
    my $real = $wanted{$path} or next;
    for (sort keys %$real) {
      fact(type => 'owner', path => $_, package => $package) unless $done{"$_ $package"}++;
    }
  }
}
