#!/usr/bin/env bash
# Leaves in PostgreSQL what the schema declares, and nothing else: no rows of the checks, no password, no trace of it.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

data=$(postgresql_data)

log "Stopping $SERVICE.service"
systemctl stop "$SERVICE.service" "$SERVICE-database.service"

log "Making the database $DB_NAME anew from the schema"
as_postgres -d postgres -v name="$DB_NAME" <<'SQL'
DROP DATABASE IF EXISTS :"name" WITH (FORCE);
SQL
systemctl start "$SERVICE-database.service"
verifier=$(as_postgres -d postgres -v name="$DB_USER" <<<"SELECT rolpassword FROM pg_authid WHERE rolname = :'name'")
systemctl stop "$SERVICE-database.service"

# Every file of the cluster in which something derived from the password stands.
traces() { grep -rlaF -f /dev/fd/3 "$data" 3<<<"$verifier"; }

no_password() {
  [[ -z $(as_postgres -d postgres <<<'SELECT rolname FROM pg_authid WHERE rolpassword IS NOT NULL') ]] && echo "no role has a password"
}

no_trace() {
  local found
  [[ -n $verifier ]] || {
    echo "the role had no password to look for"
    return 1
  }
  found=$(traces) && {
    echo "found in: $found"
    return 1
  }
  echo "no trace in $data"
}

log "Removing the password of the role $DB_USER"
# The old row goes with VACUUM FULL, the old write-ahead log with checkpoints that recycle nothing.
as_postgres -d postgres -v name="$DB_USER" <<'SQL'
ALTER ROLE :"name" PASSWORD NULL;
VACUUM FULL pg_authid;
ALTER SYSTEM SET wal_recycle = off;
SELECT pg_reload_conf() \g /dev/null
SQL
# The checkpointer learns of it a moment later; a segment that it recycled before that goes in the next round.
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

# Every table with rows in it, in every database: DATABASE TABLE ROWS, one a line.
rows() {
  local database
  while read -r database; do
    as_postgres -d "$database" <<'SQL' | sed "s/^/$database /" || return 1
SELECT format('%s.%s ', schemaname, tablename) || n FROM (
  SELECT schemaname, tablename,
    (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %I.%I', schemaname, tablename), false, true, '')))[1]::text::bigint AS n
  FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
) AS counted WHERE n > 0 ORDER BY 1
SQL
  done < <(as_postgres -d postgres <<<'SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1')
}

declared() {
  local table
  for table in ${DB_SEEDED[@]+"${DB_SEEDED[@]}"}; do
    if [[ $table != *.* ]]; then table=public.$table; fi
    if [[ $1 == "$DB_NAME" && $2 == "$table" ]]; then return 0; fi
  done
  return 1
}

# Users' rows must never be in an image, and nobody can tell them from a schema's own: those must be declared.
only_the_schema() {
  local found database table count tables strange='' own=0
  found=$(rows) || return 1
  while read -r database table count; do
    if [[ -z $database ]]; then continue; fi
    if declared "$database" "$table"; then own=$((own + count)); else strange+="; $count row(s) in $table of database $database"; fi
  done <<<"$found"
  if [[ -n $strange ]]; then
    echo "rows that no seeded under [database] declares: ${strange#; }"
    return 1
  fi
  tables=$(as_postgres -d "$DB_NAME" <<<"SELECT count(*) FROM pg_stat_user_tables") || return 1
  echo "database $DB_NAME as its schema makes it: $tables table(s), $own row(s), all of them declared"
}

check hygiene-database only_the_schema
check hygiene-database-password no_password
check hygiene-database-trace no_trace

# What only stood in for the real server does not start in the image.
stood_down() {
  local left
  left=$(as_postgres -d postgres -v name="$DB_NAME" <<<"SELECT datname FROM pg_database WHERE datname = :'name'")
  echo "postgresql.service: $(systemctl is-enabled postgresql.service), database ${left:-none}"
  ! systemctl is-enabled --quiet postgresql.service && [[ -z $left ]]
}

if [[ $DB_MODE == rds ]]; then
  log "Standing the server of this machine down: the database is elsewhere"
  as_postgres -d postgres -v name="$DB_NAME" -v role="$DB_USER" <<'SQL'
DROP DATABASE IF EXISTS :"name" WITH (FORCE);
DROP ROLE IF EXISTS :"role";
SQL
  systemctl disable postgresql.service
  rm -rf /run/goldenami
  check no-database-server stood_down
fi
checks_done
