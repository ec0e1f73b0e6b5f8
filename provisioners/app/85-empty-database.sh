#!/usr/bin/env bash
# Resets PostgreSQL to the contents of the schema: no rows of the checks, no password, no trace of the password.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

data=$(postgresql_data)

log "Stopping $SERVICE.service"
systemctl stop "$SERVICE.service" "$SERVICE-database.service"

recreate_database() {
  log "Recreating the database $DB_NAME from the schema"
  systemctl stop "$SERVICE-database.service"
  as_postgres -d postgres -v name="$DB_NAME" <<'SQL'
DROP DATABASE IF EXISTS :"name" WITH (FORCE);
SQL
  start_database
}

start_database() { systemctl start "$SERVICE-database.service" || die "$(/usr/local/lib/goldenami/unit-error "$SERVICE-database.service")"; }

# table_contents SEEDS DETAILS [DATABASE]: prints what each table contains, see table-contents.sql.
table_contents() {
  # shellcheck disable=SC2016 # psql's own `…`
  { echo '\set seeds `cat "$SEEDS"`' && cat "$GOLDEN/files/table-contents.sql"; } |
    SEEDS=$1 as_postgres -d "${3:-$DB_NAME}" -v most=2147483646 -v details="$2"
}

# Records the rows that the schema creates, so that they do not count as users' data. Values that differ when the schema is applied
# again or to another empty database, such as DEFAULT now(), are left out of the checksum, but only in the rows in which they differ.
record_seeds() {
  local first second
  install -d -m 0755 "${seeds_file%/*}"
  install -m 0644 /dev/null "$seeds_file"
  echo '[]' >"$seeds_file"
  first=$(table_contents "$seeds_file" false)
  if [[ -n $first ]]; then
    systemctl stop "$SERVICE-database.service"
    start_database
    first=$(table_contents "$seeds_file" true)
    recreate_database
    second=$(table_contents "$seeds_file" true)
    jq -n --slurpfile first <(echo "$first") --slurpfile second <(echo "$second") '
      [$second[] as $table | [$first[] | select(.schema == $table.schema and .table == $table.table)][0] as $other
      | [$table.columns | to_entries[] | select(.value != $other.columns[.key]) | .key] as $volatile
      | ([$other.hashes[]? | {(.): true}] | add // {}) as $same
      | $table | {schema, table, rows, $volatile, fixed: [select($volatile != []) | .hashes[] | select($same[.])]}]' >"$seeds_file"
    second=$(table_contents "$seeds_file" false)
    first=$(jq --slurpfile tables <(echo "$second") \
      '[.[] as $seed | $seed + ($tables[] | select(.schema == $seed.schema and .table == $seed.table))]' "$seeds_file")
    echo "$first" >"$seeds_file"
  fi
}

recreate_database
record_seeds
verifier=$(as_postgres -d postgres -v name="$DB_USER" <<<"SELECT rolpassword FROM pg_authid WHERE rolname = :'name'")
systemctl stop "$SERVICE-database.service"
jq --slurpfile seeds "$seeds_file" '.seeds = $seeds[0]' "$GOLDEN/report/inventory.json" >"$GOLDEN/report/inventory.json.part"
mv "$GOLDEN/report/inventory.json.part" "$GOLDEN/report/inventory.json"

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

# User data must never be in an image. The application's database contains what the schema created; no other has rows.
only_schema_rows() {
  local databases database rows tables
  databases=$(as_postgres -d postgres -v name="$DB_NAME" <<<"SELECT datname FROM pg_database WHERE datallowconn AND datname <> :'name' ORDER BY 1") || return 1
  while read -r database; do
    rows=$(table_contents /dev/null false "$database" | jq -r '"\(.rows) row(s) in \(.schema).\(.table)"') || return 1
    if [[ -n $rows ]]; then
      echo "the database $database contains rows: ${rows//$'\n'/, }"
      return 1
    fi
  done <<<"$databases"
  tables=$(as_postgres -d "$DB_NAME" <<<"SELECT count(*) FROM pg_stat_user_tables") || return 1
  rows=$(jq '[.[].rows] | add // 0' "$seeds_file") || return 1
  echo "database $DB_NAME contains only its schema: $tables table(s), $rows seeded row(s)"
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
