#!/usr/bin/env bash
# Builds the worker in Go, linked with this project's own static library.
#   benches/peers/go/build.sh OUTPUT
set -euo pipefail
output=$(realpath -m "${1:?usage: benches/peers/go/build.sh OUTPUT}")
cd "$(dirname "$0")/../../.."
# As scripts/make.sh makes it.
cargo rustc --quiet --release --locked --features capi --lib --crate-type staticlib
cd benches/peers/go
# Go does not see that the library has changed, and would leave the worker as it is.
rm -f "$output"
go build -trimpath -tags flockq_dev -o "$output" .
