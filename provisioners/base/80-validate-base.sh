#!/usr/bin/env bash
# Gate 1 of the base layer: the image contains what the recipe declares. Writes the report.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

packages_current() {
  local pending
  packages_refresh >/dev/null && pending=$(packages_pending) || return 1
  if [[ -n $pending ]]; then
    echo "upgrades pending: $pending"
    return 1
  fi
  echo "no pending upgrades"
}

go_declared() {
  local version
  version=$(go_version)
  echo "Go ${version:-is not installed} (declared $GO_VERSION)"
  version_matches "$GO_VERSION" "$version"
}

postgresql_declared() {
  local major
  major=$(postgresql_major)
  echo "PostgreSQL ${major:-is not running} (declared $POSTGRESQL_VERSION)"
  [[ $major == "$POSTGRESQL_VERSION" ]]
}

postgresql_service() {
  echo "postgresql.service: $(systemctl is-enabled postgresql.service), $(systemctl is-active postgresql.service)"
  systemctl is-enabled --quiet postgresql.service && systemctl is-active --quiet postgresql.service && as_postgres -d postgres <<<'SELECT 1' >/dev/null
}

postgresql_private() {
  local addresses
  addresses=$(ss -Hltn 'sport = :5432' | awk '{ print $4 }')
  echo "listens on ${addresses:-nothing}"
  [[ -n $addresses ]] && ! grep -qvE '^(127\.0\.0\.1|\[::1\]):5432$' <<<"$addresses"
}

install_directory() {
  local owner
  owner=$(stat -c %U "$APP_DIRECTORY") && echo "$APP_DIRECTORY belongs to $owner" && [[ $owner == "$APP_USER" ]]
}

log "Checking the base layer"
report_begin
check packages-current packages_current
check go-version go_declared
check postgresql-version postgresql_declared
check postgresql-active postgresql_service
check postgresql-loopback-only postgresql_private
check git git --version
check install-directory install_directory
check no-failed-units no_failed_units
write_inventory
checks_done
