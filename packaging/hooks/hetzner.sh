#!/bin/sh
# Give a Floating IP of Hetzner Cloud to this server when the node begins to lead. A hook for cluster.leaderHook: set it
# to a copy of this file with the three values below.
set -eu
floating_ip=${FLOATING_IP_ID:-FLOATING-IP-ID}
token_file=${TOKEN_FILE:-/etc/rppam/hetzner.token}       # "read and write", mode 0600, owned by rppam
api=${API:-https://api.hetzner.cloud/v1}
metadata=${METADATA:-http://169.254.169.254/hetzner/v1/metadata}

[ "$RPPAM_EVENT" != lost ] || exit 0                     # the next leader takes it; nothing may be taken from it
server=$(curl -fsS --max-time 5 "$metadata/instance-id")
# The token comes by a file of curl's own options on stdin: arguments can be read by every account of the host.
authorised() { printf 'header = "Authorization: Bearer %s"\n' "$(cat "$token_file")" | curl -K - -fsS --max-time 10 "$@"; }

if [ "$RPPAM_EVENT" = held ]; then
    holder=$(authorised "$api/floating_ips/$floating_ip" | sed -n 's/.*"server": *\([0-9]*\).*/\1/p')
    [ "$holder" != "$server" ] || exit 0
fi
authorised -X POST -H 'Content-Type: application/json' -d "{\"server\": $server}" \
    "$api/floating_ips/$floating_ip/actions/assign" > /dev/null
echo "floating IP $floating_ip is with server $server"
