#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the tools work on: a file of one line of 1 MB, and a hundred files of two lines.
set -eu
folder=/tmp/flyball-validation-tools
mkdir -p $folder/tree
head -c 1048576 /dev/zero | tr '\0' x >$folder/megabyte
i=0
while [ $i -lt 100 ]; do
  printf 'function work_%d() {}\nnothing\n' $i >$folder/tree/file-$i.rs
  i=$((i + 1))
done
