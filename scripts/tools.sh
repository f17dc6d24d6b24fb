#!/usr/bin/env bash
# Make sure that programs are installed (as root, on Debian or Ubuntu).
#   scripts/tools.sh python3 curl chromium
. "$(dirname "$0")/common.sh"

works() {
    case "$1" in
        python3) python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ;;
        chromium) has chromium && ! is_snap chromium ;;
        *) has "$1" ;;
    esac
}

is_snap() { readlink -f "$(command -v "$1")" | grep -q '/snap$\|^/snap/'; }

on_ubuntu() { grep -q '^ID=ubuntu$' /etc/os-release; }

chromium_by_hand="missing on this machine: chromium, which the tests drive. Ubuntu has only a snap, whose confinement the tests
do not support. Install another Chromium or Chrome under the name 'chromium' (for Google's:
  sudo ln -s /usr/bin/google-chrome /usr/local/bin/chromium), then run this again; or run the tests on Debian."

missing=()
for name in "$@"; do
    works "$name" || missing+=("$name")
    if [ "$name" = python3 ] && ! works python3; then missing+=(python3-venv); fi
done
[ "${#missing[@]}" -gt 0 ] || exit 0
if [[ " ${missing[*]} " == *' chromium '* ]] && on_ubuntu; then die "$chromium_by_hand"; fi
can_install || die "missing on this machine: ${missing[*]}. On Debian or Ubuntu:  sudo apt-get install ${missing[*]}"
update_package_lists
install_packages "${missing[@]}"
for name in "$@"; do
    works "$name" && continue
    [ "$name" != python3 ] || die "this machine has $(python3 --version 2>&1); Python 3.11 or later is needed, with venv"
    die "$name was installed, but 'command -v $name' finds $(command -v "$name" || echo none); see your PATH"
done
