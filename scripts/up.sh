#!/usr/bin/env bash
# Build and start the system, and return when the orchestrator and the live gateway are healthy. On a failure, print the
# logs.
. "$(dirname "$0")/common.sh"

seconds=120

main() {
    check_places
    compose up --build -d --timeout "$(stop_seconds)"
    faults_of_dotenv | while IFS= read -r fault; do say ".env: $fault"; done
    get_healthy orchestrator orchestrator python -m orchestrator health
    get_healthy novnc 'live gateway' health.sh
    local url
    url=$(setting PUBLIC_URL)
    url=${url:-http://$(address "$(own_host)")}
    say "running. API: ${url%/}  ·  its documentation: ${url%/}/docs  ·  stop with: make down"
    if [ "$(setting LLM_BASE_URL)" = "$(local_model_url)" ] && [ -z "$(compose --profile model ps -q model)" ]; then
        say "the local model that LLM_BASE_URL names does not run; start it with: make model"
    fi
    say "watch jobs: $(list_url desktops DESKTOP_PORT)  ·  notebooks: $(list_url notebooks NOTEBOOK_PORT)"
}

# Each system on a machine needs ports and a RUN_DIR of its own.
check_places() {
    local container folder name shared
    for container in $(docker ps -q --filter label=com.docker.compose.service=orchestrator); do
        folder=$(docker inspect -f '{{index .Config.Labels "com.docker.compose.project.working_dir"}}' "$container")
        [ "$folder" != "$PWD" ] && environment "$container" | grep -qx AGENT_OUTPUT_DIR=/data || continue
        shared=
        for name in PORT DESKTOP_PORT NOTEBOOK_PORT RUN_DIR; do
            [ "$(of_container "$container" "$name")" != "$(setting "$name")" ] || shared="$shared $name=$(setting "$name")"
        done
        [ -z "$shared" ] || die "the system of the checkout in $folder runs and has the same settings:$shared.
Set others in .env here, and another AGENT_IMAGE, or stop that system:  make -C $folder down"
    done
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
