#!/usr/bin/env bash
# Builds the application in its directory, as its user, with the base layer's build cache; then deletes the cache.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

if [[ -z $APP_BUILD ]]; then
  log "The recipe has no build command"
else
  log "Building as $APP_USER in $APP_DIRECTORY:"
  printf '    %s\n' "${APP_BUILD//$'\n'/$'\n'    }"
  cd "$APP_DIRECTORY"
  build_as_app "$APP_BUILD" ||
    die "the build command of the recipe failed with exit code $?"
fi

# systemd allows prefixes such as - and + before the program.
program=${APP_EXEC%% *}
program=${program#"${program%%[!-@:+!|]*}"}
[[ -x $program ]] || die "the build created no program at $program, which [app] exec runs"
rm -rf "$build_cache"
