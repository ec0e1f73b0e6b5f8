#!/usr/bin/env bash
# Installs git, the tools that the image's scripts use, and the recipe's extra packages.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

packages=(git jq ca-certificates)
if family_is_apt; then packages+=(iproute2); else packages+=(iproute tar gzip util-linux shadow-utils); fi
# Amazon Linux has curl-minimal, which is sufficient and conflicts with curl.
command -v curl >/dev/null || packages+=(curl)

log "Installing ${packages[*]} ${EXTRA_PACKAGES[*]:-}"
packages_install "${packages[@]}" ${EXTRA_PACKAGES[@]+"${EXTRA_PACKAGES[@]}"}
