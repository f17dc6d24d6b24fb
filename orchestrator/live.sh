#!/bin/bash
# Exit with 0 if the orchestrator answers. Compose runs this every few seconds, so it starts no Python.
set -eu
host="${HOST:-127.0.0.1}"
case "$host" in 0.0.0.0) host=127.0.0.1 ;; ::) host=::1 ;; esac
exec 3<>"/dev/tcp/$host/${PORT:-8000}"
printf 'GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
read -r answer <&3
case "$answer" in *" 200 "*) ;; *)
    echo "the orchestrator answers: $answer"
    exit 1
    ;;
esac
