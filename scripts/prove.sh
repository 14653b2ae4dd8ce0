#!/usr/bin/env bash
# What `make test` does in part, whole; the deliberate bugs, each of which a test has to find; many
# schedules of threads; undefined behaviour and races, looked for by Miri and the sanitizers; and a minute of each fuzz target.
# Takes about an hour and three quarters on two processors. Writes docs/reliability.md from what was said. Nothing may be left out:
# what is needed is looked for before it begins.
#   scripts/prove.sh [STEP...]
set -uo pipefail
cd "$(dirname "$0")/.."
scripts/tools.sh || exit 1
export FLOCKQ_REQUIRE_ALL=1 FLOCKQ_PROVE=1 FLOCKQ_KILL_SECONDS=60 FLOCKQ_FLOW_MESSAGES=20000
logs=target/prove
mkdir -p $logs
failed=0
# What is tried: what is changed while it runs is not in it.
commit=$(git describe --always --dirty 2> /dev/null || echo unknown)
wanted=("$@")
[ ${#wanted[@]} -gt 0 ] || : > $logs/steps.tsv

# Runs a step and keeps what it says. A step that is run again by itself takes the place of what it said before.
step() {
    local name=$1 started=$SECONDS status=0
    shift
    [ ${#wanted[@]} -eq 0 ] || [[ " ${wanted[*]} " == *" $name "* ]] || return 0
    printf '\n=== %s\n' "$name"
    "$@" 2>&1 | tee $logs/"$name".log
    status=${PIPESTATUS[0]}
    [ "$status" -eq 0 ] || failed=1
    touch $logs/steps.tsv
    sed -i "/^$name\t/d" $logs/steps.tsv
    printf '%s\t%s\t%s\t%s\n' "$name" "$status" "$((SECONDS - started))" "$commit" >> $logs/steps.tsv
}

step test scripts/make.sh test
step mutants scripts/mutants.sh
step schedules scripts/schedules.sh 20000
step miri scripts/miri.sh
step sanitizers scripts/sanitizers.sh
step fuzz scripts/fuzz.sh 60

python3 scripts/reliability.py --report $logs || failed=1
exit $failed
