#!/usr/bin/env bash
# Installs git, the tools that the image itself uses, and the packages that the recipe adds.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

wanted=(git jq ca-certificates)
if family_is_apt; then wanted+=(iproute2); else wanted+=(iproute tar gzip util-linux shadow-utils); fi
# Amazon Linux has curl-minimal, which does all that is needed here and conflicts with curl.
command -v curl >/dev/null || wanted+=(curl)

log "Installing ${wanted[*]} ${EXTRA_PACKAGES[*]:-}"
packages_install "${wanted[@]}" ${EXTRA_PACKAGES[@]+"${EXTRA_PACKAGES[@]}"}
