#!/usr/bin/env bash
# Stop: the orchestrator waits for running jobs (DRAIN_SECONDS), cancels the rest, removes every sandbox and ends.
. "$(dirname "$0")/common.sh"

main() {
    if ! has docker || ! engine_works; then
        say "no Docker engine answers here, so nothing of ours runs"
        return
    fi
    local drain package
    drain=$(setting DRAIN_SECONDS) package=$(setting PACKAGE_SECONDS)
    if [ -n "$(compose ps -q orchestrator 2>/dev/null)" ]; then
        say "jobs that run have $drain s to end (DRAIN_SECONDS); what is left then is cancelled, and its files are saved"
    fi
    # Killed before its own limits are over, the orchestrator could neither cancel nor save anything.
    local seconds
    seconds=$(awk -v drain="$drain" -v package="$package" 'BEGIN { printf "%d", drain + package + 30 }')
    compose --profile model down --timeout "$seconds"
    # Sandboxes are left only where the orchestrator was not there to remove them (it was killed).
    # Its next start settles their jobs.
    local left
    left=$(sandboxes)
    if [ -n "$left" ]; then
        say "removing sandboxes that the orchestrator has left: $(tr '\n' ' ' <<<"$left")"
        xargs docker rm -f <<<"$left" >/dev/null
        [ -z "$(sandboxes)" ] || die "these sandboxes could not be removed: $(sandboxes)"
    fi
    networks | xargs -r docker network rm >/dev/null
    live_folders
    say "stopped; no sandbox is left"
}

# Where sandboxes that were killed with the orchestrator had their views. They are the record's owner's, as all in RUN_DIR.
live_folders() {
    local live
    live="$(setting RUN_DIR)/live"
    [ ! -d "$live" ] || find "$live" -mindepth 1 -delete ||
        say "what is left in $live could not be removed by this account; the next start does it"
}

# Those of this system alone: another one on this machine has a RUN_DIR of its own.
of_ours() { echo "label=containerized-agent.run-dir=$(setting RUN_DIR)"; }

sandboxes() { docker ps -aq --filter label=containerized-agent.sandbox --filter "$(of_ours)"; }

networks() { docker network ls -q --filter "$(of_ours)"; }

main
