#!/usr/bin/env bash
# What `make test` does in part, whole; the deliberate bugs, each of which a test has to find; and a minute of each fuzz target.
# Takes about an hour on two processors.
#   scripts/prove.sh
set -uo pipefail
cd "$(dirname "$0")/.."
export FLOCKQ_PROVE=1 FLOCKQ_KILL_SECONDS=60 FLOCKQ_FLOW_MESSAGES=20000
failed=0
scripts/make.sh test || failed=1
scripts/mutants.sh || failed=1
if cargo +nightly --version > /dev/null 2>&1; then
    scripts/fuzz.sh 60 || failed=1
else
    echo "LEFT OUT: fuzzing; rustup toolchain install nightly" >&2
    [ "${FLOCKQ_REQUIRE_ALL:-}" != 1 ] || failed=1
fi
exit $failed
