#!/usr/bin/env bash
# Installs Go in the declared version: from the distribution, or from go.dev with its checksum verified.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

# GO_PARENT and ETC exist so that this can be tried without touching the system.
parent=${GO_PARENT:-/usr/local}
etc=${ETC:-/etc}

from_distribution() {
  local package offered
  if family_is_apt; then package=golang-go; else package=golang; fi
  offered=$(package_candidate "$package")
  # Versions look like "2:1.19~1": an epoch before, the packager's own after.
  offered=${offered#*:}
  offered=${offered%%[-~+]*}
  if version_matches "$GO_VERSION" "$offered" || version_matches "$offered" "$GO_VERSION"; then
    packages_install "$package"
    return
  fi
  local series
  series=$(cut -d . -f 1-2 <<<"$GO_VERSION")
  if family_is_apt && [[ -n $(package_candidate "golang-$series-go") ]]; then
    packages_install "golang-$series-go"
    ln -sfn "/usr/lib/go-$series/bin/go" "$parent/bin/go"
    ln -sfn "/usr/lib/go-$series/bin/gofmt" "$parent/bin/gofmt"
    return
  fi
  die "$FAMILY offers Go ${offered:-not at all}, the recipe declares $GO_VERSION: declare that version, or set [runtime.go] source = \"go.dev\" with its sha256"
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
  # shellcheck disable=SC2064 # the folder of now
  trap "rm -rf '$folder'" EXIT
  archive=$folder/go.tar.gz
  log "Fetching $url"
  curl --fail --silent --show-error --location --retry 5 --output "$archive" "$url"
  echo "$GO_SHA256  $archive" | sha256sum --check --status ||
    die "$url has SHA-256 $(sha256sum "$archive" | cut -d ' ' -f 1), the recipe declares $GO_SHA256: nothing was installed"
  log "Unpacking it to $parent/go"
  tar -xzf "$archive" -C "$folder" --no-same-owner
  [[ -x $folder/go/bin/go ]] || die "$url holds no go/bin/go: nothing was installed"
  rm -rf "$parent/go"
  # A copy, since the temporary folder may be another file system, and then one rename.
  cp -a "$folder/go" "$parent/.go.new"
  mv "$parent/.go.new" "$parent/go"
  # shellcheck disable=SC2016 # for the shells that will read it
  printf 'export PATH="$PATH:%s/go/bin"\n' "$parent" >"$etc/profile.d/go.sh"
}

log "Installing Go $GO_VERSION ($GO_SOURCE)"
if version_matches "$GO_VERSION" "$(PATH="$parent/go/bin:$PATH" go_version)"; then
  log "Go $GO_VERSION is there"
else
  case $GO_SOURCE in
    distribution) from_distribution ;;
    go.dev) from_go_dev ;;
    *) die "GO_SOURCE is \"$GO_SOURCE\": expected distribution or go.dev" ;;
  esac
fi
found=$(PATH="$parent/go/bin:$PATH" go_version)
version_matches "$GO_VERSION" "$found" || die "Go $found was installed, the recipe declares $GO_VERSION"
log "Go $found"
