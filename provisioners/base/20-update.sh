#!/usr/bin/env bash
# Upgrades every package of the system.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

log "Updating the system"
packages_refresh
packages_upgrade
