#!/usr/bin/env bash
# Process 1 of a machine made of namespaces: it has a name, a host table and shared memory of its
# own and reaps what is orphaned. Usage: node.sh NAME HOSTS COMMAND...
set -eu
hostname "$1"
mount --bind "$2" /etc/hosts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
shift 2
# what an ordinary user was given for the mounts, jobs must not have
setpriv --ambient-caps=-all --inh-caps=-all "$@" &
wait $!
