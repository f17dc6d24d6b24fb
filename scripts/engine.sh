#!/usr/bin/env bash
# Make sure that a Docker engine and compose are available. If they are missing, install and start them (as root, on
# Debian or Ubuntu).
#   scripts/engine.sh         returns when the engine answers
#   scripts/engine.sh stop    stops the engine that this script started, and no other
. "$(dirname "$0")/common.sh"

log=/var/log/containerized-agent-dockerd.log
# The engine that this script started: its PID, or "systemd". In /run, because a reboot ends it.
started=/run/containerized-agent-dockerd.pid

by_hand="This needs Linux with a Docker engine (20.10 or later) and compose (v2, or docker-compose 1.29).
As root on Debian or Ubuntu both are installed for you: sudo make …
Or install them by hand, with your system's own packages:
  Debian:  sudo apt-get install docker.io docker-cli docker-compose   (12 and older: without docker-cli)
  Ubuntu:  sudo apt-get install docker.io docker-compose-v2
  others:  what your distribution calls Docker Engine and Docker Compose
Start the engine, see that 'docker info' answers, and run this again."

ensure() {
    local was_there=yes
    engine_works || was_there=
    if [ -z "$was_there" ]; then
        [ -z "${DOCKER_HOST:-}" ] ||
            die "the engine at DOCKER_HOST=$DOCKER_HOST does not answer. Start it, or unset DOCKER_HOST."
        if [ -S /var/run/docker.sock ] && [ ! -w /var/run/docker.sock ]; then
            die "you may not use the Docker engine of this machine. Run:  sudo usermod -aG docker $(id -un)
then log in again (or run:  newgrp docker ) and start again."
        fi
    fi
    if { [ -z "$was_there" ] && ! has_engine; } || ! has docker || ! compose_works; then
        can_install || die "$by_hand"
        install_what_is_missing
    fi
    if [ -z "$was_there" ]; then
        engine_works || start
        if [ -d /run/systemd/system ]; then echo systemd; else cat /var/run/docker.pid; fi >"$started"
    fi
    compose_works || die "compose is installed, but does not run; see what 'docker-compose version' says"
}

has_engine() { has dockerd || [ -x /usr/sbin/dockerd ]; } # not in every user's PATH

compose_works() { compose_v2_works || docker-compose version >/dev/null 2>&1; }

install_what_is_missing() {
    local packages=()
    update_package_lists
    engine_works || has_engine || packages+=(docker.io)
    # Newer releases have the client in a separate package.
    if ! has docker && has_package docker-cli; then packages+=(docker-cli); fi
    if ! compose_works; then
        # The first exists only if Docker's own package source is set, the second only on Ubuntu.
        for name in docker-compose-plugin docker-compose-v2 docker-compose; do
            if has_package "$name"; then
                packages+=("$name")
                break
            fi
        done
    fi
    install_packages "${packages[@]}"
}

has_package() { [ -n "$(apt-cache madison "$1" 2>/dev/null)" ]; }

start() {
    [ "$(id -u)" -eq 0 ] || die "the Docker engine does not run. Start it:  sudo systemctl start docker"
    if [ -d /run/systemd/system ]; then
        say "starting the Docker engine (systemd)"
        systemctl start docker || true # the log is printed below
        wait_for 60 engine_works || die "the Docker engine did not start; its last lines:
$(journalctl --no-pager -u docker -n 20 2>&1)"
        return
    fi
    # Without a service manager, start it directly, in its own session so that it survives this terminal. If the
    # package's init script has just started an engine, this one reports that and exits.
    say "starting the Docker engine by hand (log: $log)"
    setsid dockerd </dev/null >>"$log" 2>&1 &
    wait_for 60 engine_works_or_ended "$!" || true
    wait_for 10 engine_works || die "the Docker engine did not start; the last lines of $log:
$(tail -n 20 "$log")"
}

engine_works_or_ended() { engine_works || ended "$1"; }

stop() {
    [ -f "$started" ] || {
        say "no engine that this script started is running"
        return
    }
    local engine
    engine=$(cat "$started")
    say "stopping the Docker engine that this script started"
    if [ "$engine" = systemd ]; then
        systemctl stop docker.socket docker.service containerd.service
    elif [ "$(cat "/proc/$engine/comm" 2>/dev/null)" = dockerd ]; then
        kill "$engine"
        wait_for 60 ended "$engine" || die "the Docker engine (process $engine) did not stop within 60 s; see $log"
    fi
    # The engine leaves one mount: the network namespace of containers that use the host's.
    awk '$2 ~ "^(/var)?/run/docker/netns/" {print $2}' /proc/mounts | xargs -r -n 1 umount
    rm -f "$started"
}

# Gone, or a zombie whose parent does not reap it (as in a container without an init).
ended() { ! grep -q '^State:[[:space:]]*[^Z[:space:]]' "/proc/$1/status" 2>/dev/null; }

case "${1:-ensure}" in
    ensure | stop) "${1:-ensure}" ;;
    *) die "usage: scripts/engine.sh [stop]" ;;
esac
