#!/bin/sh
# Give a static external address of Google Cloud to this machine when the node begins to lead. A hook for
# cluster.leaderHook: set it to a copy of this file with the value below. The machines have no other external address, and
# their service account may use the address, and change the access configs of them all.
set -eu
address=${ADDRESS:-ADDRESS-NAME}
access=${ACCESS_CONFIG:-external-nat}
metadata=${METADATA:-http://metadata.google.internal/computeMetadata/v1}
api=${API:-https://compute.googleapis.com/compute/v1}

[ "$RPPAM_EVENT" != lost ] || exit 0                     # the next leader takes it; nothing may be taken from it
told() { curl -fsS --max-time 5 --noproxy '*' -H 'Metadata-Flavor: Google' "$metadata/$1"; }
project=$(told project/project-id)
zone=$(told instance/zone)
own="zones/${zone##*/}/instances/$(told instance/name)"
region=${zone##*/}
region=${region%-*}
token=$(told instance/service-accounts/default/token | sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p')
# The token comes by a file of curl's own options on stdin: arguments can be read by every account of the host.
authorised() { printf 'header = "Authorization: Bearer %s"\n' "$token" | curl -K - -fsS "$@"; }
field() { printf %s "$2" | tr -d '\n' | sed -n "s/.*\"$1\" *: *\[\{0,1\} *\"\([^\"]*\)\".*/\1/p"; }

# Change an instance ($1), and wait until that is done: a change is under way when the API has answered.
change() {
    zone_of=${1%/instances/*}
    shift
    begun=$(authorised --max-time 10 -X POST "$@")
    done=$(authorised --max-time 20 -X POST -d '' "$api/projects/$project/$zone_of/operations/$(field name "$begun")/wait")
    case $done in *'"error"'*) echo "refused: $done" >&2; exit 1 ;; esac
}

found=$(authorised --max-time 10 "$api/projects/$project/regions/$region/addresses/$address")
holder=$(field users "$found" | sed 's,.*/projects/[^/]*/,,')
[ "$holder" != "$own" ] || exit 0
if [ -n "$holder" ]; then
    change "$holder" -d '' "$api/projects/$project/$holder/deleteAccessConfig?networkInterface=nic0&accessConfig=$access"
fi
change "$own" -H 'Content-Type: application/json' \
    -d "{\"type\": \"ONE_TO_ONE_NAT\", \"name\": \"$access\", \"natIP\": \"$(field address "$found")\"}" \
    "$api/projects/$project/$own/addAccessConfig?networkInterface=nic0"
echo "$address is with $own"
