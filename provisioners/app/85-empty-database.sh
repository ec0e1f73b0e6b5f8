#!/usr/bin/env bash
# Resets PostgreSQL to the contents of the schema: no rows of the checks, no password, no trace of the password.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

data=$(postgresql_data)

log "Stopping $SERVICE.service"
systemctl stop "$SERVICE.service" "$SERVICE-database.service"

log "Recreating the database $DB_NAME from the schema"
as_postgres -d postgres -v name="$DB_NAME" <<'SQL'
DROP DATABASE IF EXISTS :"name" WITH (FORCE);
SQL
systemctl start "$SERVICE-database.service" || die "$(/usr/local/lib/goldenami/unit-error "$SERVICE-database.service")"
verifier=$(as_postgres -d postgres -v name="$DB_USER" <<<"SELECT rolpassword FROM pg_authid WHERE rolname = :'name'")
systemctl stop "$SERVICE-database.service"

# Prints the cluster's files that contain the password's SCRAM verifier.
traces() { grep -rlaF -f /dev/fd/3 "$data" 3<<<"$verifier"; }

no_password() {
  [[ -z $(as_postgres -d postgres <<<'SELECT rolname FROM pg_authid WHERE rolpassword IS NOT NULL') ]] && echo "no role has a password"
}

no_trace() {
  local files
  [[ -n $verifier ]] || {
    echo "the role had no password to search for"
    return 1
  }
  files=$(traces) && {
    echo "found in: $files"
    return 1
  }
  echo "no trace in $data"
}

log "Removing the password of the role $DB_USER"
# VACUUM FULL removes the old row; checkpoints without recycling remove the old write-ahead log.
as_postgres -d postgres -v name="$DB_USER" <<'SQL'
ALTER ROLE :"name" PASSWORD NULL;
VACUUM FULL pg_authid;
ALTER SYSTEM SET wal_recycle = off;
SELECT pg_reload_conf() \g /dev/null
SQL
# The checkpointer reloads its settings with a delay; the next round removes a segment that it recycled before.
for _ in {1..20}; do
  sleep 0.2
  as_postgres -d postgres <<'SQL'
SELECT pg_switch_wal() \g /dev/null
CHECKPOINT;
SELECT pg_switch_wal() \g /dev/null
CHECKPOINT;
SQL
  no_trace >/dev/null && break
done
as_postgres -d postgres <<'SQL'
ALTER SYSTEM RESET wal_recycle;
SELECT pg_reload_conf() \g /dev/null
SQL

# Prints each table that has rows, in every database: DATABASE TABLE ROWS, one per line.
tables_with_rows() {
  local database
  while read -r database; do
    as_postgres -d "$database" <<'SQL' | sed "s/^/$database /" || return 1
SELECT format('%s.%s ', schemaname, tablename) || n FROM (
  SELECT schemaname, tablename,
    (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %I.%I', schemaname, tablename), false, true, '')))[1]::text::bigint AS n
  FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND (schemaname, tablename) <> ('public', 'goldenami_migrations')
) AS counted WHERE n > 0 ORDER BY 1
SQL
  done < <(as_postgres -d postgres <<<'SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1')
}

is_seeded() {
  local table
  for table in ${DB_SEEDED[@]+"${DB_SEEDED[@]}"}; do
    if [[ $table != *.* ]]; then table=public.$table; fi
    if [[ $1 == "$DB_NAME" && $2 == "$table" ]]; then return 0; fi
  done
  return 1
}

# User data must never be in an image, and cannot be distinguished from the schema's rows: those must be listed as seeded.
only_schema_rows() {
  local output database table count tables unexpected='' seeded=0
  output=$(tables_with_rows) || return 1
  while read -r database table count; do
    if [[ -z $database ]]; then continue; fi
    if is_seeded "$database" "$table"; then seeded=$((seeded + count)); else unexpected+="; $count row(s) in $table of database $database"; fi
  done <<<"$output"
  if [[ -n $unexpected ]]; then
    echo "rows in tables that seeded under [database] does not list: ${unexpected#; }"
    return 1
  fi
  tables=$(as_postgres -d "$DB_NAME" <<<"SELECT count(*) FROM pg_stat_user_tables") || return 1
  echo "database $DB_NAME contains only its schema: $tables table(s), $seeded seeded row(s)"
}

check hygiene-database only_schema_rows
check hygiene-database-password no_password
check hygiene-database-trace no_trace

# The temporary server must not start in the image.
server_disabled() {
  local remaining
  remaining=$(as_postgres -d postgres -v name="$DB_NAME" <<<"SELECT datname FROM pg_database WHERE datname = :'name'")
  echo "postgresql.service: $(systemctl is-enabled postgresql.service), database ${remaining:-none}"
  ! systemctl is-enabled --quiet postgresql.service && [[ -z $remaining ]]
}

if [[ $DB_MODE == rds ]]; then
  log "Disabling the local PostgreSQL server: the database is external"
  as_postgres -d postgres -v name="$DB_NAME" -v role="$DB_USER" <<'SQL'
DROP DATABASE IF EXISTS :"name" WITH (FORCE);
DROP ROLE IF EXISTS :"role";
SQL
  systemctl disable postgresql.service
  rm -rf /run/goldenami
  check no-database-server server_disabled
fi
checks_done
