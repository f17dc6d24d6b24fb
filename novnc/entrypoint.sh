#!/bin/sh
# Start nginx as an unprivileged user with the group of the orchestrator's sockets.
set -eu

run_dir="${RUN_DIR:-/run/containerized-agent}"
host="${HOST:-127.0.0.1}"
case "$host" in *:*) host="[$host]" ;; esac

nobody="--reuid 10003 --regid 10003 --no-new-privs --inh-caps=-all --bounding-set=-all"

# The orchestrator creates the folder with its group before it listens there. Only that group may read it; root without
# capabilities may not.
tries=0
# shellcheck disable=SC2086  # words of options, here and below
while :; do
    group=$(stat -c %g "$run_dir/gateway")
    if [ "$tries" -ge 100 ] || setpriv $nobody --groups "$group" test -S "$run_dir/gateway/gateway.sock"; then break; fi
    tries=$((tries + 1))
    sleep 0.1
done

mkdir -p /tmp/nginx
for file in /etc/gateway/*; do
    sed -e "s|@HOST@|$host|g" -e "s|@RUN_DIR@|$run_dir|g" \
        -e "s|@DESKTOP_PORT@|${DESKTOP_PORT:-6080}|g" -e "s|@NOTEBOOK_PORT@|${NOTEBOOK_PORT:-8888}|g" \
        "$file" >"/tmp/nginx/${file##*/}"
done
chmod -R a+rX /tmp/nginx
# shellcheck disable=SC2086
exec setpriv $nobody --groups "$group" nginx -c /tmp/nginx/nginx.conf -e stderr -g 'daemon off;'
