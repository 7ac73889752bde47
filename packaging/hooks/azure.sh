#!/bin/sh
# Have a route of Azure lead to this machine when the node begins to lead. A hook for cluster.leaderHook: set it to a copy
# of this file with the two values below. cluster.virtualIp is the address that the route is for, outside every subnet;
# the network interface forwards IP, and the machine's managed identity may write the route table.
set -eu
table=${ROUTE_TABLE:-/subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.Network/routeTables/TABLE}
route=${ROUTE:-rppam}
metadata=${METADATA:-http://169.254.169.254/metadata}
api=${API:-https://management.azure.com}

[ "$RPPAM_EVENT" != lost ] || exit 0                     # the next leader takes it; nothing may be taken from it
told() { curl -fsS --max-time 5 --noproxy '*' -H 'Metadata: true' "$metadata/$1"; }
own=$(told 'instance/network/interface/0/ipv4/ipAddress/0/privateIpAddress?api-version=2021-02-01&format=text')
token=$(told 'identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com%2F' |
    sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p')
# The token comes by a file of curl's own options on stdin: arguments can be read by every account of the host.
authorised() { printf 'header = "Authorization: Bearer %s"\n' "$token" | curl -K - -fsS --max-time 10 "$@"; }
place="$api$table/routes/$route?api-version=2024-05-01"

if [ "$RPPAM_EVENT" = held ]; then
    holder=$(authorised "$place" | tr -d '\n' | sed -n 's/.*"nextHopIpAddress" *: *"\([^"]*\)".*/\1/p')
    [ "$holder" != "$own" ] || exit 0
fi
case $RPPAM_VIRTUAL_IP in *:*) bits=128 ;; *) bits=32 ;; esac
authorised -X PUT -H 'Content-Type: application/json' -d "{\"properties\": {\"nextHopType\": \"VirtualAppliance\",
    \"addressPrefix\": \"${RPPAM_VIRTUAL_IP%/*}/$bits\", \"nextHopIpAddress\": \"$own\"}}" "$place" > /dev/null
echo "route $route leads to $own"
