#!/usr/bin/env bash
# What `make test` does in part, whole; the deliberate bugs, each of which a test has to find; many
# schedules of threads; undefined behaviour and races, looked for by Miri and the sanitizers; and a minute of each fuzz target.
# Takes about an hour on two processors.
#   scripts/prove.sh
set -uo pipefail
cd "$(dirname "$0")/.."
export FLOCKQ_PROVE=1 FLOCKQ_KILL_SECONDS=60 FLOCKQ_FLOW_MESSAGES=20000
failed=0
scripts/make.sh test || failed=1
scripts/mutants.sh || failed=1
scripts/schedules.sh 20000 || failed=1
scripts/miri.sh || failed=1
scripts/sanitizers.sh || failed=1
scripts/fuzz.sh 60 || failed=1
exit $failed
