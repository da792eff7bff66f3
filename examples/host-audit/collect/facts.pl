# SPDX-License-Identifier: Apache-2.0
# Shared by the collectors: prints facts as NDJSON. Needs only perl-base, which every Debian has.
use strict;
use warnings;

my %named = ("\"" => '\"', "\\" => '\\\\', "\n" => '\n', "\r" => '\r', "\t" => '\t');

# JSON text; bytes that are no UTF-8 are shown as \xNN, so that nothing is lost and the line stays valid.
sub json_text {
  my ($text) = @_;
  my $copy = $text;
  if (!utf8::decode($copy)) {
    $text =~ s/([\x80-\xff])/sprintf "\\x%02x", ord $1/ge;
  }
  $text =~ s/([\x00-\x1f"\\\x7f])/$named{$1} \/\/ sprintf "\\u%04x", ord $1/ge;
  return "\"$text\"";
}

# fact(type => 'mount', path => '/', used => \90, readonly => \'false'): a reference is written bare.
sub fact {
  my @parts;
  while (my ($key, $value) = splice @_, 0, 2) {
    next unless defined $value;
    my $json = !ref $value ? json_text($value)
      : ref $value eq 'ARRAY' ? '[' . join(',', map { json_text($_) } @$value) . ']'
      : $$value;
    push @parts, json_text($key) . ':' . $json;
  }
  print '{', join(',', @parts), "}\n";
}

sub flag { return $_[0] ? \'true' : \'false' }

sub slurp {
  my ($path) = @_;
  open my $file, '<', $path or return undef;
  local $/;
  my $text = <$file>;
  return $text;
}

1;
