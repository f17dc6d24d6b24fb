# shellcheck shell=bash
# Shared functions. Source this file: it changes to the top of the checkout, which has the compose file and .env.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '== %s\n' "$*" >&2; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# setting NAME: print its value as compose sees it: from the shell, else from .env, else (also if empty) the default.
setting() {
    local value
    value="${!1-$(value_in .env "$1")}"
    printf '%s\n' "${value:-$(value_in .env.example "$1")}"
}

# value_in FILE NAME: print the value in the file's last NAME=… line without quotes, or nothing.
value_in() {
    if [ -f "$1" ]; then
        sed -n "s/^$2=//p" "$1" | tail -n 1 | sed -e 's/[[:space:]]*$//' -e "s/^\(['\"]\)\(.*\)\1\$/\2/"
    fi
}

# Print the address at which this machine reaches the API.
own_host() {
    case "$(setting HOST)" in
        0.0.0.0) echo 127.0.0.1 ;;
        ::) echo ::1 ;;
        *) setting HOST ;;
    esac
}

# address HOST [SETTING]: print host and port for a URL. SETTING names the port.
address() {
    local port
    port=$(setting "${2:-PORT}")
    case "$1" in *:*) echo "[$1]:$port" ;; *) echo "$1:$port" ;; esac
}

# Print the address of the local model from `make model`.
local_model_url() { echo "http://127.0.0.1:$(setting MODEL_PORT)/v1"; }

# kib SIZE: print a size such as 512m in KiB, or nothing if it is malformed.
kib() {
    local number unit
    number=$(sed -nE 's/^([0-9]{1,15})[[:space:]]*[kmgt]?b?$/\1/Ip' <<<"$1")
    unit=$(tr -dc 'kmgtKMGT' <<<"$1")
    [ -n "$number" ] || return 0
    case "$unit" in
        [kK]) echo "$number" ;;
        [mM]) echo $((number * 1024)) ;;
        [gG]) echo $((number * 1024 * 1024)) ;;
        [tT]) echo $((number * 1024 * 1024 * 1024)) ;;
        *) echo $((number / 1024)) ;;
    esac
}

# wait_for SECONDS COMMAND…: wait until the command succeeds. False after a timeout.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.2
    done
}

has() { command -v "$1" >/dev/null 2>&1; }

engine_works() { docker info >/dev/null 2>&1; }

compose_v2_works() { docker compose version >/dev/null 2>&1; }

# compose ARGUMENTS…: run compose v2 if it is installed, else the old docker-compose.
compose() {
    if compose_v2_works; then docker compose "$@"; else docker-compose "$@"; fi
}

# Succeed if the scripts may install packages: as root on Debian or Ubuntu.
can_install() { [ "$(id -u)" -eq 0 ] && has apt-get && grep -qE '^ID(_LIKE)?=.*(debian|ubuntu)' /etc/os-release; }

install_packages() {
    say "installing from this machine's package sources: $*"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null ||
        die "apt-get could not install $* (its message is above); install them yourself and try again"
}

update_package_lists() {
    apt-get update -qq </dev/null >/dev/null ||
        die "apt-get update failed (its message is above); fix the cause and try again"
}

# readable: format the orchestrator's log for people: time, level and message of each line first, other fields below.
readable() {
    local plain='"([^"]*)"' text='"(([^"\\]|\\.)*)"'
    local line="\{\"time\": $plain, \"level\": $plain, \"logger\": \"[^\"]*\", \"message\": $text(, (.*))?\}"
    sed -E -e "s/^$line\$/\1 \2: \3\n\6/" -e 's/\\n/\n/g' -e 's/\n+$//' -e 's/\n/\n    /g' -e 's/\\"/"/g'
}
