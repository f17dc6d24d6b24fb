#!/usr/bin/env bash
# Build and start the system, and return when the orchestrator and the live gateway are healthy. On a failure, print the
# logs.
. "$(dirname "$0")/common.sh"

seconds=120

main() {
    compose up --build -d
    get_healthy orchestrator orchestrator python -m orchestrator health
    get_healthy novnc 'live gateway' health.sh
    local url domain
    url="http://$(address "$(own_host)")"
    domain=$(setting VIEW_DOMAIN)
    say "running. API: $url  ·  its documentation: $url/docs  ·  stop with: make down"
    if [ "$(setting LLM_BASE_URL)" = "$(local_model_url)" ] && [ -z "$(compose --profile model ps -q model)" ]; then
        say "the local model that LLM_BASE_URL names does not run; start it with: make model"
    fi
    say "watch jobs: http://$(address "$domain" DESKTOP_PORT)/  ·  notebooks: http://$(address "$domain" NOTEBOOK_PORT)/"
}

# get_healthy SERVICE NAME COMMAND…: wait until the container's health check succeeds in it. The engine itself runs the
# check only every few seconds.
get_healthy() {
    service=$1 name=$2
    shift 2
    health_check=("$@")
    container=$(compose ps -q "$service")
    [ -n "$container" ] || die "compose started no $name; look at:  scripts/compose.sh ps"
    begun=$(restarts)
    wait_for "$seconds" healthy_or_ended || true
    healthy || failed
}

healthy() { answer=$(docker exec "$container" "${health_check[@]}" 2>&1) && [ "$(restarts)" = "$begun" ]; }

restarts() { docker inspect -f '{{.RestartCount}}' "$container"; }

state() { docker inspect -f '{{.State.Status}}' "$container"; }

healthy_or_ended() { healthy || [ "$(state)" != running ] || [ "$(restarts)" != "$begun" ]; }

failed() {
    say "the $name did not become healthy (its container is $(state), restarted $(restarts) times)"
    say "its health check says:"
    printf '%s\n' "$answer" | tail -n 20 >&2
    say "the last lines of its log:"
    docker logs --tail 40 "$container" 2>&1 | readable >&2
    die "it still exists for inspection; change .env and run 'make up' again, or stop it with 'make down'"
}

main
