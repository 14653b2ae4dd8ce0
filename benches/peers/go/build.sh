#!/usr/bin/env bash
# Builds the worker in Go, linked with this project's own static library.
#   benches/peers/go/build.sh OUTPUT
set -euo pipefail
output=$(realpath -m "${1:?usage: benches/peers/go/build.sh OUTPUT}")
cd "$(dirname "$0")/../../.."
# As scripts/make.sh makes it: by itself, because LTO is off while several kinds of library are made at once.
CARGO_TARGET_DIR=target/c cargo rustc --quiet --release --locked --features capi --lib --crate-type staticlib
mkdir -p target/release
cp -p target/c/release/libflockq.a target/release/libflockq.a
cd benches/peers/go
# Go does not see that the library has changed, and would leave the worker as it is.
rm -f "$output"
go build -trimpath -tags flockq_dev -o "$output" .
