#!/usr/bin/env bash
# Compose, whichever kind is there: scripts/compose.sh ps
. "$(dirname "$0")/common.sh"

compose "$@"
