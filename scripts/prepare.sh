#!/usr/bin/env bash
# Prepare a build: .env, the machine's own CA certificates, and an available base image.
. "$(dirname "$0")/common.sh"

default_image=debian:trixie-slim
own_image=containerized-agent-base

main() {
    if [ ! -f .env ]; then
        install -m 600 .env.example .env # it will contain keys
        say "made .env from .env.example"
    fi
    check_project
    # Plain compose reads the name there, too.
    [ -n "${COMPOSE_PROJECT_NAME-}$(value_in .env COMPOSE_PROJECT_NAME)" ] || put COMPOSE_PROJECT_NAME "$(project_name)"
    # Behind a TLS-inspecting proxy, builds and jobs must trust the certificates that this machine trusts.
    find /usr/local/share/ca-certificates -maxdepth 1 -name '*.crt' -exec cp -t certs {} + 2>/dev/null || true
    base_image
}

base_image() {
    local image
    image=$(setting BASE_IMAGE)
    if has_image "$image" || { [ "$image" != "$own_image" ] && pull "$image"; }; then
        return
    fi
    case "$image" in
        "$default_image" | "$own_image") ;;
        *) die "BASE_IMAGE=$image is not on this machine and could not be pulled. Set it to a local Debian 13 image." ;;
    esac
    if [ "${BASE_IMAGE-$own_image}" != "$own_image" ]; then
        die "BASE_IMAGE=$image in your shell is not on this machine and could not be pulled. Unset it to build one here."
    fi
    has_image "$own_image" || make_image
    if grep -q '^BASE_IMAGE=' .env; then
        sed -i "s|^BASE_IMAGE=.*|BASE_IMAGE=$own_image|" .env
    else
        echo "BASE_IMAGE=$own_image" >>.env
    fi
    say "BASE_IMAGE=$own_image is now set in .env"
}

has_image() { docker image inspect "$1" >/dev/null 2>&1; }

# pull IMAGE: false if the registry is unreachable. It gets 20 s to begin an answer, and then ten minutes.
pull() {
    local words puller
    words=$(mktemp)
    say "looking for $1"
    timeout 600 docker pull "$1" >"$words" 2>&1 </dev/null &
    puller=$!
    wait_for 20 answered_or_ended "$words" "$puller" || kill "$puller" 2>/dev/null
    if wait "$puller"; then
        rm -f "$words"
        return
    fi
    [ -s "$words" ] || echo "the registry did not answer within 20 s" >"$words"
    say "$1 could not be pulled: $(tail -n 1 "$words")"
    rm -f "$words"
    return 1
}

answered_or_ended() { [ -s "$1" ] || ! kill -0 "$2" 2>/dev/null; }

# Build a minimal Debian 13 from the mirror that this machine's apt uses.
make_image() {
    local by_hand="No image registry is reachable, so a base image must be built here from a Debian mirror.
  Debian:  sudo apt-get install mmdebstrap   then run this again (as root, this script does it)
  Others:  on another machine:        docker pull $default_image && docker save -o trixie.tar $default_image
           here:                      docker load -i trixie.tar"
    if ! has mmdebstrap; then
        can_install || die "$by_hand"
        update_package_lists
        install_packages mmdebstrap
    fi
    local sources options=()
    sources=$(debian_sources)
    if [ -z "$sources" ] && can_install; then
        update_package_lists # apt knows a mirror's owner only after reading its index
        sources=$(debian_sources)
    fi
    [ -n "$sources" ] || die "apt on this machine uses no Debian mirror. $by_hand"
    # A frozen mirror, or one behind a proxy, needs the apt settings of this machine.
    while IFS= read -r option; do
        options+=("--aptopt=$option")
    done < <(apt-config dump | grep -E '^Acquire::(Check-|https?::Proxy )')
    # Leave out the same files as Debian's "slim" images.
    for path in /usr/share/man /usr/share/info /usr/share/locale /usr/share/doc /usr/share/lintian; do
        options+=("--dpkgopt=path-exclude=$path/*")
    done
    options+=('--dpkgopt=path-include=/usr/share/doc/*/copyright')
    say "making $own_image from this machine's Debian mirror (some 20 seconds)"
    mmdebstrap --quiet --variant=minbase "${options[@]}" trixie - - <<<"$sources" |
        docker import --change 'CMD ["bash"]' - "$own_image" >/dev/null || {
        docker image rm --force "$own_image" >/dev/null 2>&1 || true # an incomplete image
        die "mmdebstrap could not make the base image (its message is above)"
    }
}

# Print the lines of a sources.list for Debian 13, with this machine's mirrors and its kinds of updates.
debian_sources() {
    has apt-get || return 0
    # shellcheck disable=SC2016  # the fields are apt's, not the shell's
    apt-get indextargets --format '$(ORIGIN) $(LABEL) $(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk '
            $1 != "Debian" || $4 != "main" { next }
            $2 == "Debian-Security" { suite = "trixie-security" }
            $2 == "Debian" { suite = $3 ~ /-updates$/ ? "trixie-updates" : $3 ~ /-/ ? "" : "trixie" }
            suite && !seen[suite]++ { print "deb", $5, suite, "main" }'
}

main
