#!/bin/sh
# Start the orchestrator as the owner of the data folder, so that what lands in ./jobs is the developer's, not root's.
set -eu

run_dir="${RUN_DIR:-/run/containerized-agent}"
uid=$(stat -c %u /data)
gid=$(stat -c %g /data)
groups=$gid
# The group that may speak to the engine. The socket can be missing only where compose did not start this container.
if [ -S /var/run/docker.sock ]; then
    groups="$gid,$(stat -c %g /var/run/docker.sock)"
fi

# Sandboxes reach the link, and the live gateway its sockets, through the orchestrator's group alone. The engine makes
# the gateway's folders as root's where it mounts them first, and another checkout's owner may have been here before.
mkdir -p "$run_dir/link" "$run_dir/live" "$run_dir/gateway"
for folder in "$run_dir" "$run_dir/link" "$run_dir/live" "$run_dir/gateway"; do
    chown "$uid:$gid" "$folder"
    chmod 0750 "$folder"
done
if [ -f "$run_dir/orchestrator.lock" ]; then chown "$uid:$gid" "$run_dir/orchestrator.lock"; fi

export HOME=/tmp # root's is not readable for others
exec setpriv --reuid "$uid" --regid "$gid" --groups "$groups" python -m orchestrator "$@"
