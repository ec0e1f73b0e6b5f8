#!/usr/bin/env bash
# Installs the declared version of Go from the distribution, or from go.dev with a verified checksum.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

# Tests set GO_PARENT and ETC to leave the system unchanged.
parent=${GO_PARENT:-/usr/local}
etc=${ETC:-/etc}

from_distribution() {
  local package version series
  if family_is_apt; then package=golang-go; else package=golang; fi
  version=$(package_candidate "$package")
  # A version such as 2:1.19~1 has an epoch and a package revision.
  version=${version#*:}
  version=${version%%[-~+]*}
  if version_matches "$GO_VERSION" "$version" || version_matches "$version" "$GO_VERSION"; then
    packages_install "$package"
    return
  fi
  series=$(cut -d . -f 1-2 <<<"$GO_VERSION")
  if family_is_apt && [[ -n $(package_candidate "golang-$series-go") ]]; then
    packages_install "golang-$series-go"
    ln -sfn "/usr/lib/go-$series/bin/go" "$parent/bin/go"
    ln -sfn "/usr/lib/go-$series/bin/gofmt" "$parent/bin/gofmt"
    return
  fi
  die "$FAMILY offers Go ${version:-not at all}, the recipe declares $GO_VERSION: declare that version, or set [runtime.go] source = \"go.dev\" with its sha256"
}

from_go_dev() {
  local url=$GO_URL archive folder
  if [[ -z $url ]]; then
    case $ARCHITECTURE in
      x86_64) url=https://go.dev/dl/go$GO_VERSION.linux-amd64.tar.gz ;;
      arm64) url=https://go.dev/dl/go$GO_VERSION.linux-arm64.tar.gz ;;
      *) die "no Go tarball is known for the architecture $ARCHITECTURE" ;;
    esac
  fi
  [[ $GO_SHA256 =~ ^[0-9a-f]{64}$ ]] || die "Go from go.dev needs [runtime.go] sha256, 64 hexadecimal digits: got \"$GO_SHA256\""
  folder=$(mktemp -d)
  # shellcheck disable=SC2064 # expands now, because the variable is local
  trap "rm -rf '$folder'" EXIT
  archive=$folder/go.tar.gz
  log "Downloading $url"
  curl --fail --silent --show-error --location --retry 5 --output "$archive" "$url"
  echo "$GO_SHA256  $archive" | sha256sum --check --status ||
    die "$url has SHA-256 $(sha256sum "$archive" | cut -d ' ' -f 1), the recipe declares $GO_SHA256, so nothing was installed"
  log "Unpacking it to $parent/go"
  tar -xzf "$archive" -C "$folder" --no-same-owner
  [[ -x $folder/go/bin/go ]] || die "$url contains no go/bin/go, so nothing was installed"
  rm -rf "$parent/go"
  # The temporary folder may be on another file system: copy, then rename atomically.
  cp -a "$folder/go" "$parent/.go.new"
  mv "$parent/.go.new" "$parent/go"
  # shellcheck disable=SC2016 # login shells expand it
  printf 'export PATH="$PATH:%s/go/bin"\n' "$parent" >"$etc/profile.d/go.sh"
}

log "Installing Go $GO_VERSION ($GO_SOURCE)"
if version_matches "$GO_VERSION" "$(PATH="$parent/go/bin:$PATH" go_version)"; then
  log "Go $GO_VERSION is already installed"
else
  case $GO_SOURCE in
    distribution) from_distribution ;;
    go.dev) from_go_dev ;;
    *) die "GO_SOURCE is \"$GO_SOURCE\": expected distribution or go.dev" ;;
  esac
fi
installed=$(PATH="$parent/go/bin:$PATH" go_version)
version_matches "$GO_VERSION" "$installed" || die "Go $installed was installed, the recipe declares $GO_VERSION"
log "Installed Go $installed"
