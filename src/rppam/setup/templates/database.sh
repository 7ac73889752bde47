#!/bin/sh
# Written by 'rppam init --hosts': makes this cluster's role and database on the PostgreSQL of this host, which serves
# nobody else, and lets the nodes in over TLS. Run it as root; a second run changes nothing.
set -eu
cd "$$(dirname "$$0")"
if [ "$$(id -u)" != 0 ]; then
    echo "install.sh: run this as root, such as: sudo sh database/install.sh" >&2
    exit 1
fi
if ! command -v psql > /dev/null || ! id postgres > /dev/null 2>&1; then
    echo "install.sh: PostgreSQL is not installed here. On Debian and Ubuntu: apt install postgresql" >&2
    exit 1
fi
ask() (
    cd /
    exec runuser -u postgres -- psql -X -A -t -q -v ON_ERROR_STOP=1 "$$@"
)
if ! ask -c 'SELECT 1' > /dev/null; then
    echo "install.sh: PostgreSQL does not answer on this host. Start it, such as: systemctl start postgresql" >&2
    exit 1
fi
data=$$(ask -c 'SHOW data_directory')
hba=$$(ask -c 'SHOW hba_file')
listens=$$(ask -c 'SHOW listen_addresses')
ask < setup.sql
for file in rppam-server.pem rppam-server.key; do
    cmp -s "$$file" "$$data/$$file" || install -m 600 -o postgres -g postgres "$$file" "$$data/$$file"
done
while read -r line; do
    grep -qxF "$$line" "$$hba" || echo "$$line" >> "$$hba"
done < pg_hba.lines
ask -c "ALTER SYSTEM SET ssl_cert_file = 'rppam-server.pem'"
ask -c "ALTER SYSTEM SET ssl_key_file = 'rppam-server.key'"
ask -c "ALTER SYSTEM SET ssl = on"
case ",$$(echo "$$listens" | tr -d ' ')," in
    *,\*,* | *,$address,*)
        ask -c 'SELECT pg_reload_conf()' > /dev/null
        ;;
    *)
        ask -c "ALTER SYSTEM SET listen_addresses = 'localhost,$address'"
        systemctl restart postgresql
        ;;
esac
echo "PostgreSQL: role and database $name are there; nodes reach them at $address:$port"
