#!/usr/bin/env bash
# Stop the system: the orchestrator waits for running jobs (DRAIN_SECONDS), cancels the rest, removes every sandbox and
# exits.
. "$(dirname "$0")/common.sh"

main() {
    if ! has docker || ! engine_works; then
        say "no Docker engine answers, so the system does not run"
        return
    fi
    check_project
    if [ -n "$(compose ps -q orchestrator 2>/dev/null)" ]; then
        say "running jobs have $(running DRAIN_SECONDS) s to end (DRAIN_SECONDS); then they are cancelled, and their files are saved"
    fi
    compose --profile model down --timeout "$(stop_seconds)"
    # Sandboxes remain only if the orchestrator was killed. Its next start settles their jobs.
    local left
    left=$(sandboxes)
    if [ -n "$left" ]; then
        say "removing sandboxes that the orchestrator left: $(tr '\n' ' ' <<<"$left")"
        xargs docker rm -f <<<"$left" >/dev/null
        [ -z "$(sandboxes)" ] || die "these sandboxes could not be removed: $(sandboxes)"
    fi
    networks | xargs -r docker network rm >/dev/null
    live_folders
    say "stopped; no sandbox is left"
}

# Remove the views' folders of sandboxes killed with the orchestrator. They belong to the record's owner, like
# everything in RUN_DIR.
live_folders() {
    local live
    live="$(setting RUN_DIR)/live"
    [ ! -d "$live" ] || find "$live" -mindepth 1 -delete ||
        say "this account cannot remove the files in $live; the next start removes them"
}

# Only this system's sandboxes: another system on this machine has a different RUN_DIR.
of_ours() { echo "label=containerized-agent.run-dir=$(setting RUN_DIR)"; }

sandboxes() { docker ps -aq --filter label=containerized-agent.sandbox --filter "$(of_ours)"; }

networks() { docker network ls -q --filter "$(of_ours)"; }

main
