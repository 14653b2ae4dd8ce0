#!/usr/bin/env bash
# Feeds each target of fuzz/ for so many seconds, beginning with its corpus. Needs a nightly toolchain; without one,
# tests/replay.rs goes through the corpus, and the proptests through some of the rest.
#   scripts/fuzz.sh [SECONDS] [TARGET...]
#   scripts/fuzz.sh keep [TARGET...]    adds what was found since to the corpus, as far as it reaches more, and minimises it
# What is new goes to target/fuzz/found, and what fails to target/fuzz/failed: its place is fuzz/crashes/TARGET, beside its mend.
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/nightly.sh
have_nightly "fuzzing" || exit 0
seconds=${1:-20}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(journal snapshot config names calls images)
tool=$(command -v cargo-fuzz || echo target/tools/bin/cargo-fuzz)
if [ ! -x "$tool" ]; then
    CARGO_TARGET_DIR=target/tools/build cargo install --quiet --locked --root target/tools cargo-fuzz || exit 1
fi
export CARGO_TARGET_DIR=$PWD/target/fuzz PATH=$PWD/target/tools/bin:$PATH
found=$CARGO_TARGET_DIR/found failures=$CARGO_TARGET_DIR/failed
# No input takes more memory than 64 MiB at once, or longer than 20 s.
limits=(-malloc_limit_mb=64 -rss_limit_mb=512 -timeout=20 -max_len=65536 -dict=fuzz/words.dict)

# libFuzzer writes to the first directory only.
feed() {
    local target=$1 log=target/fuzz-$1.log
    mkdir -p "$found/$target" "$failures/$target"
    if ! cargo "+$nightly" fuzz run "$target" "$found/$target" "fuzz/corpus/$target" "fuzz/crashes/$target" -- \
        -max_total_time="$seconds" -artifact_prefix="$failures/$target/" "${limits[@]}" > "$log" 2>&1; then
        echo "FAILED: the fuzz target $target, $log; the input is in ${failures#"$PWD/"}/$target"
        tail -n 30 "$log"
        return 1
    fi
    echo "PROVED $(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$log") inputs by the fuzz target $target (corpus $(find "fuzz/corpus/$target" "fuzz/crashes/$target" -type f | wc -l) files, $(find "$found/$target" -type f | wc -l) new, coverage $(sed -n 's/.* cov: \([0-9]*\) ft: \([0-9]*\).*/\1 edges and \2 features/p' "$log" | tail -n 1))"
}

# What a person has named stays; of the rest, as little as reaches the same.
keep() {
    local target=$1 file all=$CARGO_TARGET_DIR/all/$1 few=$CARGO_TARGET_DIR/few/$1 log=$PWD/target/fuzz-$1.log
    rm -rf "$all" "$few"
    mkdir -p "$all" "$few" "$found/$target"
    for file in "fuzz/corpus/$target"/* "$found/$target"/*; do
        [[ ! ${file##*/} =~ ^[0-9a-f]{40}$ ]] || cp "$file" "$all"
    done
    find "$all" -size +16k -delete
    cargo "+$nightly" fuzz run "$target" "$few" "fuzz/corpus/$target" "$all" -- -merge=1 "${limits[@]}" > "$log" 2>&1 || { tail "$log"; return 1; }
    find "fuzz/corpus/$target" -type f | grep -E '/[0-9a-f]{40}$' | xargs -r rm
    find "$few" -type f -exec cp {} "fuzz/corpus/$target" \;
    rm -rf "${found:?}/$target"
    echo "$target: $(find "fuzz/corpus/$target" -type f | wc -l) files, $(du -sb "fuzz/corpus/$target" | cut -f 1) bytes"
}

failed=0
for target in "${targets[@]}"; do
    if [ "$seconds" = keep ]; then keep "$target"; else feed "$target"; fi || failed=1
done
exit $failed
