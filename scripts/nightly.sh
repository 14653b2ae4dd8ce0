# The nightly toolchain of the checks that need one: sourced. FLOCKQ_NIGHTLY chooses another than the newest that is there.
nightly=${FLOCKQ_NIGHTLY:-nightly}

# Whether it is there with these components, which are added when they are missing. If not, says how to get it.
have_nightly() {
    local what=$1 component
    shift
    if ! cargo "+$nightly" --version > /dev/null 2>&1; then
        echo "LEFT OUT: $what; rustup toolchain install $nightly" >&2
        [ "${FLOCKQ_REQUIRE_ALL:-}" != 1 ] || exit 1
        return 1
    fi
    for component in "$@"; do
        rustup component list --toolchain "$nightly" --installed 2> /dev/null | grep -q "^$component" && continue
        rustup component add --toolchain "$nightly" "$component" > /dev/null 2>&1 && continue
        echo "LEFT OUT: $what; rustup component add --toolchain $nightly $component" >&2
        [ "${FLOCKQ_REQUIRE_ALL:-}" != 1 ] || exit 1
        return 1
    done
}
