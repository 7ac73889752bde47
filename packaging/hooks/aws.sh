#!/bin/sh
# Give an Elastic IP of AWS to this instance when the node begins to lead. A hook for cluster.leaderHook: set it to a
# copy of this file with the value below. The instance's role needs ec2:AssociateAddress; curl 7.75 or newer signs.
set -eu
allocation=${ALLOCATION_ID:-eipalloc-ID}
metadata=${METADATA:-http://169.254.169.254}

[ "$RPPAM_EVENT" != lost ] || exit 0                     # the next leader takes it; nothing may be taken from it
session=$(curl -fsS --max-time 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$metadata/latest/api/token")
told() { printf 'header = "X-aws-ec2-metadata-token: %s"\n' "$session" | curl -K - -fsS --max-time 5 "$metadata/latest/$1"; }
instance=$(told meta-data/instance-id)
region=$(told meta-data/placement/region)
role=$(told meta-data/iam/security-credentials/)
credentials=$(told "meta-data/iam/security-credentials/$role")
field() { printf %s "$credentials" | tr -d '\n' | sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p"; }
api=${API:-https://ec2.$region.amazonaws.com}

# What is secret comes by a file of curl's own options on stdin: arguments can be read by every account of the host.
printf 'user = "%s:%s"\nheader = "X-Amz-Security-Token: %s"\n' \
    "$(field AccessKeyId)" "$(field SecretAccessKey)" "$(field Token)" |
    curl -K - -fsS --max-time 10 --aws-sigv4 "aws:amz:$region:ec2" "$api/" \
        --data "Action=AssociateAddress&Version=2016-11-15&AllowReassociation=true&AllocationId=$allocation&InstanceId=$instance" \
        > /dev/null
echo "$allocation is with $instance"
