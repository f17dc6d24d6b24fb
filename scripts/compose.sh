#!/usr/bin/env bash
# Run the installed compose, v2 or old: scripts/compose.sh ps
. "$(dirname "$0")/common.sh"

compose "$@"
