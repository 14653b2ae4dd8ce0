#!/usr/bin/env bash
# Feeds each target of fuzz/ for so many seconds. Needs a nightly toolchain.
#   scripts/fuzz.sh [SECONDS] [TARGET...]
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/nightly.sh
have_nightly "fuzzing" || exit 0
seconds=${1:-20}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(files images names calls)
tool=$(command -v cargo-fuzz || echo target/tools/bin/cargo-fuzz)
if [ ! -x "$tool" ]; then
    CARGO_TARGET_DIR=target/tools/build cargo install --quiet --locked --root target/tools cargo-fuzz || exit 1
fi
export CARGO_TARGET_DIR=$PWD/target/fuzz
failed=0
for target in "${targets[@]}"; do
    mkdir -p "fuzz/corpus/$target"
    if PATH="$PWD/target/tools/bin:$PATH" cargo "+$nightly" fuzz run "$target" -- \
        -max_total_time="$seconds" -rss_limit_mb=512 -timeout=20 > "target/fuzz-$target.log" 2>&1; then
        echo "FUZZ $target: $(grep -o 'Done [0-9]* runs' "target/fuzz-$target.log")"
    else
        echo "FUZZ $target FAILED: target/fuzz-$target.log"
        tail -n 30 "target/fuzz-$target.log"
        failed=1
    fi
done
exit $failed
