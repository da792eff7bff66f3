# SPDX-License-Identifier: Apache-2.0
# Installed packages, what they depend on and what they provide, from dpkg's own database.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
require(dirname(abs_path(__FILE__)) . "/facts.pl");

my %auto;
{
  my $name = '';
  for (split /\n/, slurp('/var/lib/apt/extended_states') // '') {
    $name = $1 if /^Package: (\S+)/;
    $auto{$name} = 1 if /^Auto-Installed: 1/;
  }
}

my $format = join("\t", map { "\${$_}" }
  qw(binary:Package Package Version Architecture db:Status-Abbrev Essential Priority Section Installed-Size
     Pre-Depends Depends Recommends Suggests Provides)) . "\n";
open my $dpkg, '-|', 'dpkg-query', '-W', "-f=$format" or die "cannot run dpkg-query: $!\n";
while (<$dpkg>) {
  chomp;
  my ($id, $name, $version, $arch, $status, $essential, $priority, $section, $size, $pre, $depends, $recommends,
    $suggests, $provides) = split /\t/, $_, -1;
  next unless substr($status, 1, 1) =~ /[iUFWt]/;    # not those removed with their settings kept
  fact(type => 'package', id => $id, name => $name, version => $version, arch => $arch,
    broken => flag(substr($status, 1, 1) ne 'i'), essential => flag($essential eq 'yes'),
    priority => $priority || 'unknown', section => $section || 'unknown', kilobytes => \($size || 0),
    auto => flag($auto{$name}));
  for ([depends => "$pre, $depends"], [recommends => $recommends], [suggests => $suggests]) {
    my ($kind, $list) = @$_;
    my %seen;
    for (split /[,|]/, $list) {
      next unless /^\s*([a-z0-9][a-z0-9.+-]*)/;
      fact(type => 'dependency', package => $name, on => $1, kind => $kind) unless $seen{$1}++;
    }
  }
  my %seen;
  for (split /,/, $provides) {
    next unless /^\s*([a-z0-9][a-z0-9.+-]*)/;
    fact(type => 'provides', package => $name, what => $1) unless $seen{$1}++;
  }
}
close $dpkg or die "dpkg-query failed\n";
