#!/usr/bin/env bash
# Installs, initializes, enables and starts the declared major version of PostgreSQL, listening on loopback only.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

log "Installing PostgreSQL $POSTGRESQL_VERSION"

# initdb takes the cluster's encoding from the locale.
export LANG=C.UTF-8

on_apt() {
  [[ -n $(package_candidate "postgresql-$POSTGRESQL_VERSION") ]] ||
    die "$FAMILY offers no PostgreSQL $POSTGRESQL_VERSION (package postgresql-$POSTGRESQL_VERSION): declare a version that it offers"
  packages_install "postgresql-$POSTGRESQL_VERSION" "postgresql-client-$POSTGRESQL_VERSION"
  if [[ ! -e /etc/postgresql/$POSTGRESQL_VERSION/main/postgresql.conf ]]; then
    log "Initializing the cluster"
    pg_createcluster --locale=C.UTF-8 --encoding=UTF8 "$POSTGRESQL_VERSION" main
  fi
}

on_dnf() {
  [[ -n $(package_candidate "postgresql$POSTGRESQL_VERSION-server") ]] ||
    die "$FAMILY offers no PostgreSQL $POSTGRESQL_VERSION (package postgresql$POSTGRESQL_VERSION-server): declare a version that it offers"
  packages_install "postgresql$POSTGRESQL_VERSION" "postgresql$POSTGRESQL_VERSION-server"
  if [[ ! -e /var/lib/pgsql/data/PG_VERSION ]]; then
    log "Initializing the cluster"
    # The default for loopback connections is "ident", which does not accept passwords.
    PGSETUP_INITDB_OPTIONS="--auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8" postgresql-setup --initdb
  fi
}

if family_is_apt; then on_apt; else on_dnf; fi

log "Enabling and starting PostgreSQL"
systemctl enable postgresql.service
systemctl start postgresql.service

accepts_connections() { as_postgres -d postgres <<<'SELECT 1' >/dev/null; }
retry 30 1 accepts_connections || die "PostgreSQL does not accept connections: $(systemctl status --no-pager --full 'postgresql*' 2>&1 | tail -n 20)"

log "Configuring PostgreSQL: loopback only, SCRAM passwords"
as_postgres -d postgres <<'SQL'
ALTER SYSTEM SET listen_addresses = 'localhost';
ALTER SYSTEM SET password_encryption = 'scram-sha-256';
SQL
systemctl restart postgresql.service
retry 30 1 accepts_connections || die "PostgreSQL does not accept connections after its restart"
[[ $(postgresql_major) == "$POSTGRESQL_VERSION" ]] ||
  die "PostgreSQL $(postgresql_major) is running, the recipe declares $POSTGRESQL_VERSION"
