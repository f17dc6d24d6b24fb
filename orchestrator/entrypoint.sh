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

# Sandboxes reach the link through the orchestrator's group alone.
mkdir -p "$run_dir/link"
chown "$uid:$gid" "$run_dir" "$run_dir/link"
chmod 0750 "$run_dir" "$run_dir/link"

export HOME=/tmp # root's is not readable for others
exec setpriv --reuid "$uid" --regid "$gid" --groups "$groups" python -m orchestrator "$@"
