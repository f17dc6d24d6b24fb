#!/usr/bin/env bash
# Check everything that the system needs, running or not, and print the remedies. This changes nothing. The exit code is
# 0 if nothing failed.
. "$(dirname "$0")/common.sh"

# Seconds for an answer of the engine or the live gateway, and of the running system.
engine_seconds=5
system_seconds=45 # the model has 30
# KiB that the image builds need on the engine's disk.
build_kib=$((8 * 1024 * 1024))
# Maximum bytes of a Unix socket's path, and our longest suffix after RUN_DIR, as in orchestrator/settings.py.
socket_bytes=107
longest_socket=/live/012345678901/notebook

failed=0
status=       # HTTP status of the program at our port, or empty
engine_words= # the engine's version and its folder, if it answers

main() {
    version=$(sed -n 's/^VERSION = "\(.*\)"/\1/p' protocol/messages.py)
    ask_system
    engine
    compose_command
    settings
    project
    run_dir
    certificates
    if [ -n "$engine_words" ]; then
        base_image
        images
    fi
    up || disk # a running system reports its disk itself
    port
    view_port DESKTOP_PORT desktops
    view_port NOTEBOOK_PORT notebooks
    system
    gateway
    local_model
    models
    if [ "$failed" -eq 0 ]; then
        echo "Nothing failed."
    else
        echo "✗ marks the failures; begin with the first."
    fi
    exit "$failed"
}

# tell MARK NAME FOUND [TO_DO]: print a line of the table, and the remedy below it.
tell() {
    printf '%s %-12s %s\n' "$1" "$2" "$3"
    [ -z "${4-}" ] || printf '  %-12s → %s\n' '' "$4"
    [ "$1" != ✗ ] || failed=1
}

# ── what the system needs ────────────────────────────────────────────────────────────────────────────────────────────

engine() {
    local words code=0 install
    install="'make up' installs and starts Docker"
    can_install || install="$install as root on Debian or Ubuntu (sudo make up); on other systems it says what to install"
    if ! has docker; then
        tell ✗ engine "this machine has no docker command" "$install."
        return
    fi
    words=$(timeout "$engine_seconds" docker info --format '{{.ServerVersion}} {{.DockerRootDir}}' 2>&1) || code=$?
    if [ "$code" -eq 0 ]; then
        engine_words=$(tail -n 1 <<<"$words")
        up || tell ✓ engine "Docker ${engine_words%% *} answers"
    elif [ "$code" -eq 124 ]; then
        tell ✗ engine "it does not answer within $engine_seconds s" \
            "See its log (journalctl -u docker), and start it again: sudo systemctl restart docker"
    elif [ -n "${DOCKER_HOST:-}" ]; then
        tell ✗ engine "the engine at DOCKER_HOST=$DOCKER_HOST does not answer" "Start it, or unset DOCKER_HOST."
    elif [ -S /var/run/docker.sock ] && [ ! -w /var/run/docker.sock ]; then
        tell ✗ engine "you may not use it: no access to /var/run/docker.sock" \
            "sudo usermod -aG docker $(id -un), then log in again"
    else
        tell ✗ engine "it does not answer: $(tail -n 1 <<<"$words")" "$install."
    fi
}

compose_command() {
    local words
    if words=$(docker compose version 2>/dev/null) || words=$(docker-compose version 2>/dev/null); then
        tell ✓ compose "$(head -n 1 <<<"$words")"
    else
        tell ✗ compose "there is neither 'docker compose' nor docker-compose" "'make up' installs it, or says how."
    fi
}

settings() {
    local faults
    if [ ! -f .env ]; then
        tell ✓ .env "does not exist yet; settings come from the shell or have their defaults ('make up' creates it)"
        return
    fi
    faults=$(faults_of_dotenv)
    if [ -n "$faults" ]; then
        tell ! .env "${faults//$'\n'/; }" "Correct it in .env; .env.example has all settings."
    elif [ -n "$(value_in .env API_KEY)$(value_in .env GEMINI_API_KEY)$(value_in .env ANTHROPIC_API_KEY)$(value_in .env LLM_API_KEY)" ] && [ -n "$(find .env -perm /o=r)" ]; then
        tell ! .env "it contains a key, and all users of this machine can read it" "chmod 600 .env"
    else
        tell ✓ .env "it has only known settings"
    fi
}

project() {
    local other
    other=$(other_checkout)
    [ -z "$other" ] || tell ✗ project "the containers of compose's project $(project_name) belong to the checkout in $other" \
        "Remove the line COMPOSE_PROJECT_NAME from .env here, then 'make up'."
}

# Report that no model is set, unless the running system reports on its models itself.
models() {
    up || [ -n "$(setting GEMINI_API_KEY)$(setting ANTHROPIC_API_KEY)$(setting LLM_MODEL)" ] ||
        tell ✓ model "none is set, so free-text prompts are rejected" \
            "To use one, set GEMINI_API_KEY, ANTHROPIC_API_KEY, or LLM_BASE_URL and LLM_MODEL in .env, then 'make up'."
}

run_dir() {
    local LC_ALL=C path longest # in bytes
    path="$(setting RUN_DIR)$longest_socket" longest=$((socket_bytes - ${#longest_socket}))
    if [ "${#path}" -gt "$socket_bytes" ]; then
        tell ✗ RUN_DIR "$(setting RUN_DIR) is too long for the path of a Unix socket (at most $longest bytes)" \
            "Set a shorter RUN_DIR in .env."
    fi
}

certificates() {
    local file new=0 all=0
    for file in /usr/local/share/ca-certificates/*.crt; do
        [ -f "$file" ] || continue
        all=$((all + 1))
        cmp -s "$file" "certs/${file##*/}" || new=$((new + 1))
    done
    if [ "$new" -gt 0 ]; then
        tell ! certificates "$new of this machine's $all own certificates are not in certs/" "'make up' adds them to the images."
    else
        tell ✓ certificates "this machine has $all own certificates, all in certs/"
    fi
}

base_image() {
    local name
    name=$(setting BASE_IMAGE)
    if in_time docker image inspect "$name" >/dev/null 2>&1; then
        tell ✓ 'base image' "$name is here"
    else
        tell ! 'base image' "$name is not on this machine" "'make up' pulls it. If no registry is reachable, it builds one."
    fi
}

images() {
    local name of label='{{index .Config.Labels "containerized-agent.version"}}'
    for name in "$(setting AGENT_IMAGE)" containerized-agent-orchestrator:latest containerized-agent-novnc:latest; do
        if ! of=$(in_time docker image inspect -f "$label" "$name" 2>&1); then
            case "$of" in *[Nn]'o such image'*) of='' ;; esac # Docker says it twice
            tell ✗ image "$name is not here${of:+: $(tail -n 1 <<<"$of")}" "'make up' builds it."
        elif [ "$of" != "$version" ]; then
            tell ✗ image "$name has version ${of:-none}, this checkout has $version" "'make up' rebuilds all images."
        else
            tell ✓ image "$name has version $of"
        fi
    done
}

disk() {
    local record reserve free
    record=$(setting AGENT_OUTPUT_DIR)
    while [ ! -e "$record" ]; do record=$(dirname "$record"); done
    reserve=$(kib "$(setting DISK_RESERVE)")
    free=$(free_kib "$record") || true
    if [ -z "$free" ] || [ -z "$reserve" ]; then
        tell ✗ disk "the free space of $record or DISK_RESERVE=$(setting DISK_RESERVE) is unreadable" \
            "See: df $record. A size is a number, optionally with k, m, g or t."
    elif [ "$free" -lt "$reserve" ]; then
        tell ✗ disk "$record has $((free / 1024)) MiB free, less than DISK_RESERVE=$(setting DISK_RESERVE)" \
            "Free some space, or lower DISK_RESERVE in .env. Jobs wait meanwhile."
    else
        tell ✓ disk "$record has $((free / 1024)) MiB free, DISK_RESERVE=$(setting DISK_RESERVE)"
    fi
    [ -n "$engine_words" ] || return 0
    free=$(free_kib "${engine_words#* }") || true # a remote engine has its folder elsewhere
    if [ -n "$free" ] && [ "$free" -lt "$build_kib" ]; then
        tell ! "engine's disk" "${engine_words#* } has $((free / 1024)) MiB free; building the images takes 8 GiB" \
            "Free some space; 'docker system df' shows the use."
    fi
}

# ── the ports and their processes ────────────────────────────────────────────────────────────────────────────────────

port() {
    local place who
    place=$(address "$(setting HOST)")
    who=$(holder "$(setting PORT)")
    if up; then
        tell ✓ port "the running system has $place"
    elif [ "$status" = refused ]; then
        tell ✗ port "the system at $place rejects our key" \
            "It was started with another API_KEY. Correct it in .env, or run 'make up' again."
    elif [ "$connected" = yes ] || { [ -n "$who" ] && [ "$(own_host)" != "$(setting HOST)" ]; }; then
        tell ✗ port "$place is taken by ${who:-a process that only root can see}, which does not answer as our system" \
            "Stop that process, or set another PORT in .env."
    else
        tell ✓ port "$place is free"
    fi
}

# view_port SETTING WHAT: check one of the live gateway's two ports.
view_port() {
    local place said who
    place=$(address "$(setting HOST)" "$1")
    who=$(holder "$(setting "$1")")
    said=$(ask "$(setting "$1")" /gateway/version '' "$engine_seconds")
    if [ "${said##*$'\n'}" = "$version" ]; then
        tell ✓ port "the live gateway has $place ($2)"
    elif [ "$said" = nobody ] && { [ -z "$who" ] || [ "$(own_host)" = "$(setting HOST)" ]; }; then
        gateway_away=yes
        up || tell ✓ port "$place ($2) is free"
    elif [[ "$who" == *' (nginx: '* ]]; then
        tell ✗ port "$place ($2) is taken by $who, which does not answer as our live gateway of version $version" \
            "'make up' restarts it. If it is not ours, set another $1 in .env."
    else
        tell ✗ port "$place ($2) is taken by ${who:-a process that only root can see}, which is not our live gateway" \
            "Stop that process, or set another $1 in .env."
    fi
}

system() {
    if up; then
        printf '%s\n' "$answer"
        ! grep -q '^✗' <<<"$answer" || failed=1
    elif [ "$status" != refused ] && ! container system orchestrator; then
        tell ! system "it is not up" "'make up' starts it."
    fi
}

# The running system reports on a live gateway that answers.
gateway() {
    [ -z "${gateway_away-}" ] || container gateway novnc || true
}

# Report a local model that is set but whose server does not run. The system itself reports on one that runs.
local_model() {
    [ "$(setting LLM_BASE_URL)" = "$(local_model_url)" ] || return 0
    [ "$(ask "$(setting MODEL_PORT)" /v1/models '' "$engine_seconds" 127.0.0.1)" = nobody ] || return 0
    container 'local model' model ||
        tell ! 'local model' "nothing listens at $(local_model_url), which LLM_BASE_URL names" "'make model' starts it."
}

# container NAME SERVICE: print the state and the last log lines of a service that does not answer. False if it has no
# container.
container() {
    local container='' state
    if [ -n "$engine_words" ]; then
        container=$(in_time scripts/compose.sh ps -q "$2" 2>/dev/null) || true
    fi
    [ -n "$container" ] || return 1
    state=$(in_time docker inspect -f '{{.State.Status}}' "$container" 2>&1) || true
    tell ✗ "$1" "its container is $state, and does not answer" \
        "See its log (scripts/compose.sh logs $2); the last lines:"
    in_time docker logs --tail 10 "$container" 2>&1 | readable | sed 's/^/                 /' || true
}

up() { [ "$status" = 200 ] || [ "$status" = 503 ]; }

ask_system() {
    local said
    said=$(ask "$(setting PORT)" '/health?full' "$(setting API_KEY)" "$system_seconds")
    connected=yes
    [ "$said" != nobody ] || connected=
    answer=${said#*$'\n\n'}
    case "$said" in
        HTTP/1.1\ 401*/problems/no-key* | HTTP/1.1\ 401*/problems/wrong-key*) status=refused ;;
        HTTP/1.1\ 200*[✓!✗]\ engine* | HTTP/1.1\ 503*[✓!✗]\ engine*) status=${said:9:3} ;;
    esac
}

# ask PORT PATH KEY SECONDS [HOST]: send a request as a browser does and print the answer, or "nobody" if nothing
# listens. It needs only bash, and the key appears in no command line.
ask() {
    local code=0 host
    host=${5:-$(own_host)}
    # shellcheck disable=SC2016  # expanded there
    KEY=$3 timeout "$4" bash -c '
        exec 3<>"/dev/tcp/$1/$2" || exit 3
        printf "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/plain\r\nConnection: close\r\n" "$3" "$4" >&3
        [ -z "$KEY" ] || printf "Authorization: Bearer %s\r\n" "$KEY" >&3
        printf "\r\n" >&3
        cat <&3
    ' ask "$host" "$1" "$2" "$(address "$host")" 2>/dev/null | tr -d '\r\0' || code=$?
    [ "$code" -ne 3 ] || echo nobody
}

# holder PORT: print the process that listens at the port, if this account may see it.
holder() {
    local socket process at
    at=":$(printf '%04X' "$1")\$"
    socket=$(awk -v at="$at" '$4 == "0A" && $2 ~ at { print $10; exit }' /proc/net/tcp*) || true
    [ -n "$socket" ] || return 0
    process=$(find /proc/[0-9]*/fd -lname "socket:\[$socket\]" -print -quit 2>/dev/null | cut -d / -f 3) || true
    [ -n "$process" ] || return 0
    echo "process $process ($(tr '\0' ' ' <"/proc/$process/cmdline" | tr -d '[:cntrl:]' | cut -c 1-100))"
}

in_time() { timeout "$engine_seconds" "$@"; }

# free_kib FOLDER: print the folder's free space, or nothing if it is unknown.
free_kib() { in_time df -Pk -- "$1" 2>/dev/null | awk 'NR == 2 { print $4 }'; }

main
