#!/usr/bin/env bash
# Installs the helpers and units of the service, prepares the database, starts the service.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

say "Installing the helpers to /usr/local/lib/goldenami"
install -d -m 0755 /usr/local/lib/goldenami
install -m 0755 "$GOLDEN/files/ssm-parameter" "$GOLDEN/files/init-database" /usr/local/lib/goldenami/

say "Installing the units"
for unit in "$GOLDEN"/files/*.service; do
  install -m 0644 "$unit" /etc/systemd/system/
done
systemctl daemon-reload
for unit in "$GOLDEN"/files/*.service; do
  systemctl enable "${unit##*/}"
done

say "Preparing the database"
if [[ $DB_MODE == rds ]]; then
  # While the image is made, this machine's own server stands in for the real one, which a build must not touch.
  install -d -m 0755 /run/goldenami
  touch /run/goldenami/stand-in
fi
systemctl restart "$SERVICE-database.service" || {
  journalctl --no-pager --lines=30 --output=cat --unit="$SERVICE-database.service" >&2
  die "$SERVICE-database.service failed: its last lines are above"
}
say "Starting $SERVICE.service"
systemctl restart "$SERVICE.service" || {
  journalctl --no-pager --lines=30 --output=cat --unit="$SERVICE.service" >&2
  die "$SERVICE.service failed: its last lines are above"
}
