#!/usr/bin/env bash
# Make sure of programs on this machine; installs what is missing (as root, on Debian or Ubuntu).
#   scripts/tools.sh python3 curl
. "$(dirname "$0")/common.sh"

works() {
    case "$1" in
        python3) python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ;;
        *) has "$1" ;;
    esac
}

missing=()
for name in "$@"; do
    works "$name" || missing+=("$name")
    if [ "$name" = python3 ] && ! works python3; then missing+=(python3-venv); fi
done
[ "${#missing[@]}" -gt 0 ] || exit 0
can_install || die "missing on this machine: ${missing[*]}. On Debian or Ubuntu:  sudo apt-get install ${missing[*]}"
update_package_lists
install_packages "${missing[@]}"
for name in "$@"; do
    works "$name" || die "this machine has $("$name" --version 2>&1); Python 3.11 or later is needed, with venv"
done
