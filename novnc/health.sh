#!/bin/bash
# Exit with 0 if nginx and the orchestrator behind it answer.
set -eu
host="${HOST:-127.0.0.1}"
case "$host" in 0.0.0.0) host=127.0.0.1 ;; ::) host=::1 ;; esac
exec 3<>"/dev/tcp/$host/${DESKTOP_PORT:-6080}"
printf 'GET /gateway/health HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
read -r answer <&3
case "$answer" in *" 200 "*) ;; *)
    echo "the gateway answers: $answer"
    exit 1
    ;;
esac
