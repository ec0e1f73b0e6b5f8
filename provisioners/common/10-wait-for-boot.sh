#!/usr/bin/env bash
# Waits until the instance has booted and no other process installs packages.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

if command -v cloud-init >/dev/null; then
  log "Waiting for cloud-init"
  # Exit code 2 is "done, with recoverable errors"; the checks at the end decide.
  timeout 900 cloud-init status --wait || [[ $? -eq 2 ]] || die "cloud-init failed: $(cloud-init status --long 2>&1 | tr '\n' ' ')"
fi

log "Waiting until the boot has finished"
state=$(timeout 300 systemctl is-system-running --wait || true)
if [[ $state != running ]]; then
  log "The system is $state: $(no_failed_units || true)"
fi

if family_is_apt; then
  log "Stopping the daily package jobs during the build"
  systemctl stop apt-daily.timer apt-daily-upgrade.timer 2>/dev/null || true
  # A running job is not interrupted: it may have half-configured packages.
  for unit in apt-daily.service apt-daily-upgrade.service unattended-upgrades.service; do
    deadline=$((SECONDS + 600))
    while systemctl show --property=ActiveState --value "$unit" 2>/dev/null | grep -q '^activating$'; do
      ((SECONDS < deadline)) || die "$unit is still running after 10 minutes"
      sleep 2
    done
  done
fi
