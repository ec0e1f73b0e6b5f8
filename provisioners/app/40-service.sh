#!/usr/bin/env bash
# Installs the helpers and units of the service, initializes the database and starts the service.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

log "Installing the helpers to /usr/local/lib/goldenami"
install -d -m 0755 /usr/local/lib/goldenami
install -m 0755 "$GOLDEN/files/ssm-parameter" "$GOLDEN/files/init-database" "$GOLDEN/files/release" "$GOLDEN/files/unit-error" \
  /usr/local/lib/goldenami/
if [[ -e $GOLDEN/files/release-command ]]; then install -m 0755 "$GOLDEN/files/release-command" /usr/local/lib/goldenami/; fi
install -d -m 0755 /usr/local/share/goldenami

if [[ $DB_MODE == volume ]]; then
  log "Making PostgreSQL require its volume"
  install -m 0755 "$GOLDEN/files/data-volume" /usr/local/lib/goldenami/
  for tool in mkfs.ext4 fsck.ext4 dumpe2fs resize2fs blkid wipefs blockdev mountpoint jq; do
    command -v "$tool" >/dev/null || die "the image has no $tool, which mode = \"volume\" requires: add its package to packages under [runtime]"
  done
  data=$(postgresql_data)
  printf 'DATA_DIRECTORY=%s\n' "$data" >/usr/local/lib/goldenami/data-volume.env
  # On Debian and Ubuntu the server itself is postgresql@MAJOR-main.service. It must not start without its volume, and must stop
  # before the volume is unmounted.
  for unit in postgresql.service postgresql@.service; do
    install -d -m 0755 "/etc/systemd/system/$unit.d"
    printf '[Unit]\nRequires=goldenami-volume.service\nAfter=goldenami-volume.service %s %s\n' \
      "$(systemd-escape --path --suffix=mount "$data")" "$(systemd-escape --path --suffix=mount /var/lib/goldenami/volume)" \
      >"/etc/systemd/system/$unit.d/goldenami-volume.conf"
  done
fi

log "Installing the units"
for unit in "$GOLDEN"/files/*.service; do
  install -m 0644 "$unit" /etc/systemd/system/
done
systemctl daemon-reload
for unit in "$GOLDEN"/files/*.service; do
  systemctl enable "${unit##*/}"
done

log "Listing the migrations"
APP_DIRECTORY=$APP_DIRECTORY APP_MIGRATIONS=$APP_MIGRATIONS /usr/local/lib/goldenami/release files >/usr/local/share/goldenami/migrations.json

log "Initializing the database"
if [[ $DB_MODE != instance ]]; then
  # A build must not use the real database or its volume: init-database creates a temporary one.
  install -d -m 0755 /run/goldenami
  touch /run/goldenami/temporary-database
fi
if [[ $DB_MODE == volume ]]; then systemctl start goldenami-volume.service; fi
systemctl restart "$SERVICE-database.service" || {
  journalctl --no-pager --lines=30 --output=cat --unit="$SERVICE-database.service" >&2
  die "$(/usr/local/lib/goldenami/unit-error "$SERVICE-database.service")"
}
log "Starting $SERVICE.service"
systemctl restart "$SERVICE.service" || {
  journalctl --no-pager --lines=30 --output=cat --unit="$SERVICE.service" >&2
  die "$(/usr/local/lib/goldenami/unit-error "$SERVICE.service")"
}
