#!/usr/bin/env bash
# Installs the application's source: the exact commit of a git repository, or the packed directory.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

# The base layer created the directory, but its path may have changed in the recipe since.
group=$(id -gn "$APP_USER") || die "the user $APP_USER is not in the base layer: bake it again with --fresh"
install -d -o "$APP_USER" -g "$group" -m 0755 "$APP_DIRECTORY"

from_git() {
  [[ ! $APP_REPOSITORY =~ ://[^/@]*:[^/@]*@ ]] || die "the repository's URL contains a password, which would stay in the image: remove it"
  log "Fetching ${APP_COMMIT:-$APP_REF} of $APP_REPOSITORY"
  # Without root's git settings and without prompts.
  local git=(as_app env HOME=/nonexistent GIT_TERMINAL_PROMPT=0 git -C "$APP_DIRECTORY")
  [[ -d $APP_DIRECTORY/.git ]] || "${git[@]}" init --quiet
  "${git[@]}" remote remove origin 2>/dev/null || true
  "${git[@]}" remote add origin "$APP_REPOSITORY"
  # Without the history, which may contain what was removed. Not every server serves a commit by its id; the fallback fetches the
  # branch or tag that contains it, with its history.
  "${git[@]}" fetch --quiet --depth=1 --no-tags origin "${APP_COMMIT:-$APP_REF}" 2>/dev/null ||
    retry 3 5 "${git[@]}" fetch --quiet --no-tags origin "$APP_REF"
  "${git[@]}" checkout --quiet --force --detach "${APP_COMMIT:-FETCH_HEAD}"
  "${git[@]}" submodule --quiet update --init --recursive --depth=1
  "${git[@]}" clean -ffdxq
  log "Checked out $("${git[@]}" log -1 --format='%h %s')"
}

from_directory() {
  log "Unpacking the source to $APP_DIRECTORY"
  find "$APP_DIRECTORY" -mindepth 1 -delete
  tar -xzf "$GOLDEN/source.tar.gz" -C "$APP_DIRECTORY" --no-same-owner
}

case $APP_SOURCE in
  git) from_git ;;
  directory) from_directory ;;
  *) die "APP_SOURCE is \"$APP_SOURCE\": expected git or directory" ;;
esac
chown -hR "$APP_USER:$group" "$APP_DIRECTORY"
chmod 0755 "$APP_DIRECTORY"
