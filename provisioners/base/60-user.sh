#!/usr/bin/env bash
# Creates the user that runs the application, and its install directory.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

if id -u "$APP_USER" >/dev/null 2>&1; then
  log "The user $APP_USER already exists"
else
  log "Creating the system user $APP_USER"
  useradd --system --user-group --create-home --home-dir "/var/lib/$APP_USER" --shell /usr/sbin/nologin "$APP_USER"
fi

log "Creating $APP_DIRECTORY"
group=$(id -gn "$APP_USER")
install -d -o "$APP_USER" -g "$group" -m 0755 "$APP_DIRECTORY"
