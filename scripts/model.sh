#!/usr/bin/env bash
# Run a GGUF file as a local model: build and start its server, wait until it answers, and set it in .env.
#   scripts/model.sh           the file is that of MODEL_FILE
#   scripts/model.sh chosen    with DEMO_MODEL set: see that a model is configured, and start it where it is a local one
from=$PWD
. "$(dirname "$0")/common.sh"

# Seconds for the server to load the file.
seconds=600

wanted="MODEL_FILE is not set, so there is no model to run.
  1. Download a GGUF file. Qwen2.5-Coder-Instruct is a good small family: 7B in Q4_K_M (4.7 GB) for a machine with
     16 GB of memory; 1.5B (1.1 GB) is faster and makes more mistakes.
  2. Run:  make model MODEL_FILE=path/to/the-file.gguf
The path is stored in .env: after that, 'make model' is enough."

main() {
    file=$(setting MODEL_FILE)
    [ -n "$file" ] || die "$wanted"
    # shellcheck disable=SC2088  # not every shell replaces it after "MODEL_FILE="
    case "$file" in /*) ;; '~/'*) file=$HOME/${file#'~/'} ;; *) file=$from/$file ;; esac
    check_file
    alias=$(alias_of "$file")
    port=$(setting MODEL_PORT)
    url=$(local_model_url)
    check_shell
    scripts/engine.sh
    scripts/prepare.sh
    start
    wait_for_answer
    configure
    if [ -n "$(compose ps -q orchestrator 2>/dev/null)" ]; then
        say "restarting the orchestrator with the model"
        scripts/up.sh
    else
        say "'make up' starts the system with it"
    fi
}

# Only with DEMO_MODEL: otherwise the demo needs no model.
chosen() {
    case "${DEMO_MODEL:-0}" in 0) return ;; esac
    local provider
    provider=$(setting LLM_PROVIDER)
    if [ "$provider" != none ] && [ "$(setting LLM_BASE_URL)" = "$(local_model_url)" ]; then
        main
    elif [ "$provider" != none ] && [ -n "$(setting GEMINI_API_KEY)$(setting LLM_MODEL)" ]; then
        say "the demo uses the configured model"
    elif [ -n "$(setting MODEL_FILE)" ]; then
        main
    else
        die "DEMO_MODEL=1 needs a model, and none is configured. Set one in .env (docs/models.md), or run a local one:
  DEMO_MODEL=1 make demo MODEL_FILE=path/to/some.gguf
'make model' says which file to download."
    fi
}

check_file() {
    local size need
    case "$file" in
        *[\$\"\'\\\#\`]* | *$'\n'*) die "MODEL_FILE=$file has a quote, \$, #, \\ or line end in its name: rename it" ;;
        *-00001-of-*.gguf) die "MODEL_FILE=$file is one of several parts; join them with llama-gguf-split --merge" ;;
    esac
    [ -e "$file" ] || die "MODEL_FILE=$file does not exist"
    [ -f "$file" ] || die "MODEL_FILE=$file is not a file"
    [ -r "$file" ] || die "MODEL_FILE=$file cannot be read by $(id -un)"
    [ "$(head -c 4 -- "$file" | tr -d '\0')" = GGUF ] ||
        die "MODEL_FILE=$file is not a GGUF file: its first bytes are not GGUF. Download the model in that format."
    [ -n "$(find -L "$file" -maxdepth 0 -perm -o=r)" ] ||
        die "MODEL_FILE=$file is readable only by its owner, but the server runs as another user: chmod o+r '$file'"
    size=$(stat -L -c %s -- "$file")
    need=$((size * 11 / 10 / 1024 + 1024 * 1024)) # the file, and memory for the context
    [ "$(kib "$(setting MODEL_MEMORY)")" -ge "$need" ] ||
        die "MODEL_MEMORY=$(setting MODEL_MEMORY) is too little for $file: set at least $((need / 1024))m in .env"
}

# Print the server's name for the model: the file's name.
alias_of() {
    local name=${1##*/}
    tr -c 'A-Za-z0-9._\n-' '-' <<<"${name%.gguf}"
}

# A value in the shell overrides the one written to .env.
check_shell() {
    local name value
    while read -r name value; do
        [ "${!name-$value}" = "$value" ] ||
            die "$name=${!name} in your shell overrides .env. Run this again without it: unset $name"
    done <<<"LLM_BASE_URL $url
LLM_MODEL $alias
LLM_PROVIDER openai"
}

start() {
    export MODEL_FILE=$file LLM_MODEL=$alias
    say "building the model's server (the first build compiles llama.cpp, which takes some minutes)"
    compose --profile model up --build -d model ||
        die "the model's server could not be started (see the messages above). If port $port is taken, set another
MODEL_PORT in .env."
    container=$(compose --profile model ps -q model)
    [ -n "$container" ] || die "compose started no server for the model; look at:  scripts/compose.sh ps"
    restarts=$(restarts)
}

wait_for_answer() {
    local begun=$SECONDS told=$SECONDS
    until answers; do
        runs && [ $((SECONDS - begun)) -lt "$seconds" ] || failed
        if [ $((SECONDS - told)) -ge 5 ]; then
            told=$SECONDS
            say "loading $alias ($((SECONDS - begun)) s)"
        fi
        sleep 0.5
    done
    say "$alias answers at $url"
}

# Succeed if our server answers at the port with this model.
answers() {
    # shellcheck disable=SC2016  # expanded there
    timeout 5 bash -c '
        exec 3<>"/dev/tcp/127.0.0.1/$1"
        printf "GET /v1/models HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n" >&3
        cat <&3
    ' ask "$port" 2>/dev/null | grep -qF "\"$alias\""
}

restarts() { docker inspect -f '{{.RestartCount}}' "$container"; }

# A server that cannot load its file exits, and the engine restarts it repeatedly.
runs() { [ "$(docker inspect -f '{{.State.Running}}' "$container")" = true ] && [ "$(restarts)" = "$restarts" ]; }

failed() {
    say "the model's server does not answer; the last lines of its log:"
    docker logs --tail 30 "$container" 2>&1 | cut -c 1-200 >&2
    docker rm --force "$container" >/dev/null || true # a container that is only stopped starts again with the engine
    die "$alias could not be started, and .env is as it was. If the log names memory, use a smaller file, or less
MODEL_CONTEXT, or more MODEL_MEMORY. If it says 'Failed to load model', the file is damaged, or newer than the server."
}

configure() {
    put MODEL_FILE "$file"
    put MODEL_PORT "$port"
    put LLM_BASE_URL "$url"
    put LLM_MODEL "$alias"
    # auto would prefer Gemini.
    if [ "$(setting LLM_PROVIDER)" != openai ] &&
        { [ "$(setting LLM_PROVIDER)" != auto ] || [ -n "$(setting GEMINI_API_KEY)" ]; }; then
        put LLM_PROVIDER openai
    fi
}

case "${1:-main}" in
    main | chosen) "${1:-main}" ;;
    *) die "usage: scripts/model.sh [chosen]" ;;
esac
