#!/usr/bin/env bash
# Removes what instances of the image must not share: keys, identities, histories, caches, logs.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

log "Stopping the services that write"
if [[ $LAYER == app ]]; then
  systemctl stop "$SERVICE.service" "$SERVICE-database.service"
fi
# Stopping Debian's postgresql.service returns while the cluster's own unit still writes its log.
systemctl stop postgresql.service 'postgresql@*.service'
systemctl stop syslog.socket rsyslog.service 2>/dev/null || true
# Keeps the journal in memory from here on, so that the builder's shutdown is not in the image.
mkdir -p /run/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\n' >/run/systemd/journald.conf.d/golden.conf
systemctl restart systemd-journald.service

log "Removing package caches"
packages_clean

log "Removing keys, credentials and histories of all users"
while read -r home; do
  rm -rf "$home"/.ssh/authorized_keys* "$home"/.ssh/known_hosts* "$home"/.ssh/id_* "$home"/.aws "$home"/.azure "$home"/.docker \
    "$home"/.config/gcloud "$home"/.netrc "$home"/.pgpass "$home"/.git-credentials "$home"/.cache "$home"/.lesshst "$home"/.viminfo \
    "$home"/.wget-hsts
  find "$home" -maxdepth 1 -name '.*history' -delete
done < <(homes)

log "Removing the machine's identity: host keys, machine id, random seed, leases"
rm -f /etc/ssh/ssh_host_*
: >/etc/machine-id
if [[ ! -L /var/lib/dbus/machine-id ]]; then rm -f /var/lib/dbus/machine-id; fi
rm -f /var/lib/systemd/random-seed /var/lib/systemd/credential.secret /var/lib/urandom/random-seed
rm -rf /var/lib/dhcp/* /var/lib/dhclient/* /var/lib/NetworkManager/*.lease /var/lib/NetworkManager/secret_key
if [[ $LAYER == app ]]; then
  # goldenami-certificate.service creates a new one at boot.
  rm -f /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem
fi
if [[ -d /var/lib/amazon/ssm ]]; then
  systemctl stop amazon-ssm-agent.service 2>/dev/null || true
  rm -rf /var/lib/amazon/ssm/*
fi
if command -v cloud-init >/dev/null; then
  cloud-init clean --logs
fi

log "Clearing the logs"
rm -rf /var/log/journal/*
find /var/log -type f \( -name '*.gz' -o -name '*.xz' -o -name '*.[0-9]' -o -name '*.old' \) -delete
# --no-create: fs.protected_regular keeps even root from opening a service's log in a sticky folder with O_CREAT.
find /var/log -type f -exec truncate --no-create --size=0 {} +
# The boot recreates the login records; the power-off would write to existing ones.
rm -f /var/log/wtmp /var/log/btmp /var/log/lastlog

log "Clearing /tmp and /var/tmp"
# systemd removes the private folders when their services stop. The remaining scripts need $GOLDEN.
find /tmp -mindepth 1 -maxdepth 1 ! -name 'systemd-private-*' -exec rm -rf {} +
find /var/tmp -mindepth 1 -maxdepth 1 ! -name 'systemd-private-*' ! -path "$GOLDEN" -exec rm -rf {} +
# Swap files that fstab does not list belong to the builder, not to the image.
for file in /swapfile /var/swapfile; do
  if [[ -e $file ]] && ! grep -q "^${file}[[:space:]]" /etc/fstab; then
    swapoff "$file" 2>/dev/null || true
    rm "$file"
  fi
done

log "Discarding unused blocks"
sync
fstrim / 2>/dev/null || log "The disk does not support discard"
