#!/usr/bin/env bash
# Puts the application's source into the install directory: the exact commit of a git repository, or the packed directory.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

# The base layer made these; a recipe whose user or directory changed since gets them here.
group=$(id -gn "$APP_USER") || die "the user $APP_USER is not in the base layer: bake it again with --fresh"
install -d -o "$APP_USER" -g "$group" -m 0755 "$APP_DIRECTORY"

from_git() {
  [[ ! $APP_REPOSITORY =~ ://[^/@]*:[^/@]*@ ]] || die "the repository's URL holds a password, which would stay in the image: take it out"
  log "Fetching ${APP_COMMIT:-$APP_REF} of $APP_REPOSITORY"
  # Nothing of root's settings, and nobody is there to answer a question.
  local git=(as_app env HOME=/nonexistent GIT_TERMINAL_PROMPT=0 git -C "$APP_DIRECTORY")
  [[ -d $APP_DIRECTORY/.git ]] || "${git[@]}" init --quiet
  "${git[@]}" remote remove origin 2>/dev/null || true
  "${git[@]}" remote add origin "$APP_REPOSITORY"
  # Not every server gives a commit by its id; the branch or tag that it was found at has it.
  "${git[@]}" fetch --quiet --tags origin "${APP_COMMIT:-$APP_REF}" 2>/dev/null ||
    retry 3 5 "${git[@]}" fetch --quiet --tags origin "$APP_REF"
  "${git[@]}" checkout --quiet --force --detach "${APP_COMMIT:-FETCH_HEAD}"
  "${git[@]}" submodule --quiet update --init --recursive
  "${git[@]}" clean -ffdxq
  log "At $("${git[@]}" log -1 --format='%h %s')"
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
