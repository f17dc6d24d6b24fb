# shellcheck shell=bash
# Shared functions. Source this file: it changes to the top of the checkout, which has the compose file and .env.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

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

# put NAME VALUE: set it in .env and report it. Every other line stays.
put() {
    local before text
    before=$(value_in .env "$1")
    [ "$before" != "$2" ] || return 0
    text=$(NAME=$1 VALUE=$2 awk '
        index($0, ENVIRON["NAME"] "=") == 1 { $0 = ENVIRON["NAME"] "=" ENVIRON["VALUE"]; found = 1 }
        { print }
        END { if (!found) print ENVIRON["NAME"] "=" ENVIRON["VALUE"] }' .env && echo .)
    printf '%s' "${text%.}" >.env # in place, so that it keeps its mode and its owner
    if [ -z "$before" ] || [ "$before" = "$(value_in .env.example "$1")" ]; then
        say ".env: $1=$2"
    else
        say ".env: $1=$2 replaces $1=$before"
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

# list_url desktops|notebooks SETTING: print the address of a list of running jobs, as orchestrator/gateway/urls.py does.
# SETTING names the port that the list has without a proxy.
list_url() {
    local public domain scheme host port=
    public=$(setting PUBLIC_URL) domain=$(setting VIEW_DOMAIN)
    public=${public%/}
    scheme=${public%%:*} host=${public#*://}
    case "$host" in *:*[0-9]) port=:${host##*:} host=${host%:*} ;; esac
    if [ "$domain" = localhost ] && [[ "$host" == *[!0-9.]* && "$host" != *]* ]]; then domain=$host; fi
    [ "$domain" != localhost ] || [ "$host" = localhost ] || public= # an IP address has no names below it
    if [ -z "$public" ] || [ "$scheme$port" = "http:$(setting PORT)" ]; then
        echo "http://$(address "$domain" "$2")/"
    else
        echo "$scheme://$1.$domain$port/"
    fi
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
    local name
    name=$(project_name)
    if compose_v2_works; then
        COMPOSE_PROJECT_NAME=$name docker compose "$@"
    else
        COMPOSE_PROJECT_NAME=$name docker-compose "$@"
    fi
}

# Print compose's name for this installation. Compose itself would take the folder's name alone, and two checkouts in
# folders of the same name would replace each other's containers.
project_name() {
    local name=${COMPOSE_PROJECT_NAME:-$(value_in .env COMPOSE_PROJECT_NAME)}
    # An installation that compose itself named keeps its name.
    [ -n "$name" ] || name=$(containers "$folder_label=$PWD" "$project_label" | head -n 1)
    [ -n "$name" ] || name=$(sed -E 's/[^a-z0-9_-]//g; s/^[_-]+//' <<<"$(basename "${PWD,,}")" | cut -c 1-40)-$(checksum "$PWD")
    printf '%s\n' "${name#-}"
}

# Compose labels each container with its project and with the folder of its checkout.
project_label=com.docker.compose.project
folder_label=com.docker.compose.project.working_dir

# containers LABEL=VALUE OTHER: print the label OTHER of the containers that have the first label.
containers() {
    ! has docker || timeout 5 docker ps -a --filter "label=$1" --format "{{.Label \"$2\"}}" 2>/dev/null | sort -u || true
}

checksum() { sha256sum <<<"$1" | cut -c 1-8; }

# Print the folder of another checkout that has our project's containers, if there is one: this checkout is its copy.
other_checkout() {
    local folder
    while IFS= read -r folder; do
        if [ -n "$folder" ] && [ "$folder" != "$PWD" ] && [ -e "$folder/docker-compose.yml" ]; then
            printf '%s\n' "$folder"
            return
        fi
    done < <(containers "$project_label=$(project_name)" "$folder_label")
}

check_project() {
    local other
    other=$(other_checkout)
    [ -z "$other" ] || die "the containers of compose's project $(project_name) belong to the checkout in $other.
Remove the line COMPOSE_PROJECT_NAME from .env here; 'make up' then writes a name of this folder's own."
}

# environment CONTAINER: print the environment that a container was made with, a NAME=value a line.
environment() { docker inspect -f '{{range .Config.Env}}{{println .}}{{end}}' "$1" 2>/dev/null || true; }

# of_container CONTAINER NAME: print the setting that a container was started with. .env may have changed since.
of_container() {
    local value
    value=$(environment "$1" | sed -n "s/^$2=//p")
    printf '%s\n' "${value:-$(value_in .env.example "$2")}"
}

# running NAME: print the setting that the running orchestrator has, or that the next one will have.
running() {
    local container
    container=$(compose ps -q orchestrator 2>/dev/null) || true
    if [ -n "$container" ]; then of_container "$container" "$1"; else setting "$1"; fi
}

# Print the seconds that the running orchestrator needs to stop. If compose killed it before its own limits, it could
# neither cancel jobs nor save their files.
stop_seconds() {
    awk -v drain="$(running DRAIN_SECONDS)" -v package="$(running PACKAGE_SECONDS)" \
        'BEGIN { printf "%d", drain + package + 30 }'
}

# Print the faults of the lines in .env, each with its line's number. Values may be keys, so none is printed.
faults_of_dotenv() {
    [ -f .env ] || return 0
    awk '
        function distance(a, b,   i, j, cost, row) { # between two words, after Levenshtein
            for (j = 0; j <= length(b); j++) row[0, j] = j
            for (i = 1; i <= length(a); i++) {
                row[i, 0] = i
                for (j = 1; j <= length(b); j++) {
                    cost = row[i - 1, j - 1] + (substr(a, i, 1) != substr(b, j, 1))
                    if (row[i - 1, j] + 1 < cost) cost = row[i - 1, j] + 1
                    if (row[i, j - 1] + 1 < cost) cost = row[i, j - 1] + 1
                    row[i, j] = cost
                }
            }
            return row[length(a), length(b)]
        }
        /^[[:space:]]*(#|\r?$)/ { next }
        BEGIN { # names that other programs have for our settings
            alias["OPENAI_API_KEY"] = "LLM_API_KEY"; alias["OPENAI_BASE_URL"] = alias["OLLAMA_HOST"] = "LLM_BASE_URL"
            alias["OPENAI_MODEL"] = "LLM_MODEL"; alias["GOOGLE_API_KEY"] = "GEMINI_API_KEY"
        }
        FNR == NR { if (match($0, /^[A-Z_]+=/)) known[substr($0, 1, RLENGTH - 1)]; next }
        !match($0, /^[A-Za-z_][A-Za-z0-9_]*=/) { print "line " FNR " is not of the form NAME=value"; next }
        {
            name = substr($0, 1, RLENGTH - 1)
            if (name in known || name ~ /^(COMPOSE|DOCKER|BUILDKIT)_/) next
            near = alias[toupper(name)]; least = near ? 0 : 3
            for (one in known) {
                far = distance(toupper(name), one)
                if (far < least || (far == least && near && one < near)) { near = one; least = far }
            }
            print "line " FNR ": there is no setting " name (near ? "; did you mean " near "?" : "")
        }' .env.example .env
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
