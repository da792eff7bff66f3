#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds workloads: with an installed libflyball, or with the one beside the program in FLYBALL (a build directory).
set -eu
cd "$(dirname "$0")"
out=${VALIDATION_OUT:-/tmp/flyball-validation-workloads}
build=$(dirname "$(readlink -f "${FLYBALL:-../../build/flyball}")")
if [ -f "$build/libflyball.so" ]; then
  flags="-I../../include -L$build -lflyball -Wl,-rpath,$build $(pkg-config --cflags --libs libuv)"
else
  flags=$(pkg-config --cflags --libs flyball libuv)
fi
cc -O2 -std=gnu11 -D_GNU_SOURCE ./*.c $flags -lpthread -lm -o "$out.new"
mv "$out.new" "$out"
