#!/bin/sh
# Written by 'rppam redis setup': places the files of this folder on the host of this Redis and starts it.
# Debian, Ubuntu and the RHEL family, after the package of Redis; run it as root. INSTALL.txt says the same in words.
set -eu
cd "$$(dirname "$$0")"
unit=redis-server
[ -e /usr/lib/systemd/system/redis-server.service ] || [ -e /lib/systemd/system/redis-server.service ] || unit=redis
install -d -m 750 -o redis -g redis $etc $data
install -m 600 -o redis -g redis $confs $etc/
?tls install -d -m 700 -o redis -g redis $etc/tls
?tls install -m 600 -o redis -g redis tls/* $etc/tls/
install -D -m 644 redis-server.service.d/rppam.conf "/etc/systemd/system/$$unit.service.d/rppam.conf"
?group install -D -m 644 redis-sentinel.service.d/rppam.conf /etc/systemd/system/redis-sentinel.service.d/rppam.conf
if command -v restorecon > /dev/null; then restorecon -R $etc $data; fi
systemctl daemon-reload
systemctl enable "$$unit"
systemctl restart "$$unit"
?group systemctl enable redis-sentinel
?group systemctl restart redis-sentinel
