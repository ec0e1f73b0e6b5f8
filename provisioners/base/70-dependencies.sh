#!/usr/bin/env bash
# Compiles the application's dependencies once, for the app layers on top of this base layer. The app layer deletes the result.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

if [[ -z $APP_DEPENDENCIES ]]; then
  log "The recipe has no dependencies to compile"
  exit 0
fi

log "Compiling the application's dependencies as $APP_USER:"
printf '    %s\n' "${APP_DEPENDENCIES//$'\n'/$'\n'    }"
folder=$(mktemp -d /var/tmp/golden-dependencies.XXXXXX)
tar -xf "$GOLDEN/dependencies.tar" -C "$folder" --no-same-owner
chown -R "$APP_USER:$(id -gn "$APP_USER")" "$folder"
cd "$folder"
build_as_app "$APP_DEPENDENCIES" || die "the command of [app.dependencies] failed with exit code $?"
cd /
rm -rf "$folder"
