#!/bin/sh
# with-tracefs.sh COMMAND [ARG...]: for use in a mount namespace of its own (unshare --mount).
# Runs a command with tracefs mounted there, so that the tracepoint backend is tested also
# where the machine has it unmounted.
set -eu
tracefs=/sys/kernel/tracing
[ -d "$tracefs/events" ] || mount -t tracefs tracefs "$tracefs"
exec "$@"
