#!/bin/sh
# First process of a test host: give systemd a cgroup-v2 tree of its own, then become it.
#
# systemd 258 and newer refuse cgroup v1, and an unprivileged container may not write to the tree it is born in.
# So: make a child group inside the container's own group, step into it, and let a new cgroup namespace call that
# child its root. The same four steps serve machines with cgroup v1 (where the v2 tree has no controllers) and v2.
set -eu
spare=/run/cgroup-outside
mkdir -p "$spare"
mount -t cgroup2 cgroup2 "$spare"
mkdir -p "$spare/testhost"
echo $$ > "$spare/testhost/cgroup.procs"
umount "$spare"
rmdir "$spare"
exec unshare --cgroup /bin/sh -c 'mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec /sbin/init'
