#!/bin/sh
# Written by 'rppam redis setup': places the files of this folder on the host of this Redis and starts it.
# Debian, Ubuntu and the RHEL family, after the package of Redis; run it as root. INSTALL.txt says the same in words.
# A second run changes nothing: a file that was placed as it is here stays as Redis and Sentinel have written it since.
# What the package had there is kept as *.before-rppam.
set -eu
cd "$$(dirname "$$0")"
unit=redis-server
[ -e /usr/lib/systemd/system/redis-server.service ] || [ -e /lib/systemd/system/redis-server.service ] || unit=redis
changed=
install -d -m 750 -o redis -g redis $etc $data
for file in $confs; do
    if ! [ -e "$etc/$$file" ] || ! cmp -s "$$file" "$etc/.$$file.placed"; then
        [ ! -e "$etc/$$file" ] || [ -e "$etc/$$file.before-rppam" ] || cp -p "$etc/$$file" "$etc/$$file.before-rppam"
        install -m 600 -o redis -g redis "$$file" "$etc/$$file"
        changed=yes
    fi
done
?tls install -d -m 700 -o redis -g redis $etc/tls
?tls for file in tls/*; do
?tls     cmp -s "$$file" "$etc/$$file" || { install -m 600 -o redis -g redis "$$file" "$etc/$$file"; changed=yes; }
?tls done
drop_in() {
    cmp -s "$$1.service.d/rppam.conf" "/etc/systemd/system/$$2.service.d/rppam.conf" && return
    install -D -m 644 "$$1.service.d/rppam.conf" "/etc/systemd/system/$$2.service.d/rppam.conf"
    changed=yes
}
drop_in redis-server "$$unit"
?group drop_in redis-sentinel redis-sentinel
if command -v restorecon > /dev/null; then restorecon -R $etc $data; fi
systemctl daemon-reload
for one in "$$unit"$sentinel_unit; do
    systemctl enable "$$one"
    if [ "$$changed" ]; then systemctl restart "$$one"; else systemctl start "$$one"; fi
done
for file in $confs; do install -m 600 -o redis -g redis "$$file" "$etc/.$$file.placed"; done
