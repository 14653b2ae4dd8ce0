#!/usr/bin/env bash
# A day of a mail daemon: it delivers what is in inbound, the urgent first; what fails waits in outbound and comes back; what
# fails three times goes to dead-letter; when the fault is mended, it is sent back and delivered.
#   examples/mail_daemon.sh DIRECTORY [BACKOFF_MS]
set -euo pipefail
export FLOCKQ_DIR=${1:-mail-queues}
backoff=${2:-1000}

# The text of a field of one line of JSON, or what stands behind. A real script asks jq.
field() {
    local found
    found=$(sed -nE "s/.*\"$1\": *\"([^\"]*)\".*/\1/p" <<< "$2")
    echo "${found:-${3:-}}"
}

# Delivers until nothing has come for so long.
deliver_all() {
    local nobody_at=$1 line mail id receipt attempts to priority code=0
    while line=$(flockq receive inbound --wait "$((2 * backoff))ms") || code=$?; [ "$code" -eq 0 ]; do
        mail=${line#*\"message\":}
        id=$(field id "${line%%,\"receipt\"*}") receipt=$(field receipt "${line%%,\"attempts\"*}")
        attempts=$(sed -E 's/.*"attempts":([0-9]+),"message".*/\1/' <<< "${line%%\"message\":*}\"message\"")
        to=$(field to "$mail") priority=$(field priority "$mail" normal)
        if [ "$to" = "$nobody_at" ]; then
            echo "failed $attempts $priority $id"
            flockq nack inbound "$receipt" --error "no session for $to"
        else
            echo "ok $attempts $priority $id"
            flockq ack inbound "$receipt"
        fi
    done
    # 3 is that nothing came; anything else is an error, and has been said.
    [ "$code" -eq 3 ]
}

stand() {
    local name
    for name in inbound outbound dead-letter; do
        echo "$name $(flockq stats "$name" --json | sed -E 's/.*"messages":([0-9]+).*/\1/')"
    done
}

flockq init --mail "$FLOCKQ_DIR"
flockq config set inbound.backoff "${backoff}ms"

# Nobody is there to take the mail of this address.
deliver_all mayor/
stand

# Now somebody is: what was given up for that reason starts again.
echo "redriven $(flockq redrive dead-letter --error "no session" | wc -l)"
deliver_all nobody
stand
