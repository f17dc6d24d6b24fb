#!/usr/bin/env bash
# Build, start, and return when the orchestrator is healthy; where it does not get so, say what it said.
. "$(dirname "$0")/common.sh"

seconds=120

main() {
    compose up --build -d
    container=$(compose ps -q orchestrator)
    [ -n "$container" ] || die "compose started no orchestrator; look at:  scripts/compose.sh ps"
    begun=$(restarts)
    wait_for "$seconds" healthy_or_ended || true
    healthy || failed
    local url
    url="http://$(address "$(own_host)")"
    say "running. API: $url  ·  its documentation: $url/docs  ·  stop with: make down"
}

# By the command of the container's own health check, which the engine itself asks only every few seconds.
healthy() { answer=$(docker exec "$container" python -m orchestrator health 2>&1) && [ "$(restarts)" = "$begun" ]; }

restarts() { docker inspect -f '{{.RestartCount}}' "$container"; }

state() { docker inspect -f '{{.State.Status}}' "$container"; }

healthy_or_ended() { healthy || [ "$(state)" != running ] || [ "$(restarts)" != "$begun" ]; }

failed() {
    say "the orchestrator did not get healthy (its container is $(state), restarted $(restarts) times)"
    say "its health check says:"
    printf '%s\n' "$answer" | tail -n 20 >&2
    say "the last lines of its log:"
    docker logs --tail 40 "$container" 2>&1 | readable >&2
    die "it is left as it is, to look at; change .env and run 'make up' again, or stop it with 'make down'"
}

main
