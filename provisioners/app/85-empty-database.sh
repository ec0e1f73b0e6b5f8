#!/usr/bin/env bash
# Leaves in PostgreSQL what the schema declares, and nothing else: no rows of the checks, no password, no trace of it.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

data=$(postgresql_data)

say "Stopping $SERVICE.service"
systemctl stop "$SERVICE.service" "$SERVICE-database.service"

say "Making the database $DB_NAME anew from the schema"
as_postgres -d postgres -v name="$DB_NAME" <<'SQL'
DROP DATABASE IF EXISTS :"name" WITH (FORCE);
SQL
systemctl start "$SERVICE-database.service"
verifier=$(as_postgres -d postgres -v name="$DB_USER" <<<"SELECT rolpassword FROM pg_authid WHERE rolname = :'name'")
systemctl stop "$SERVICE-database.service"

say "Removing the password of the role $DB_USER"
# The old row goes with VACUUM FULL, the old write-ahead log with a checkpoint that recycles nothing.
as_postgres -d postgres -v name="$DB_USER" <<'SQL'
ALTER ROLE :"name" PASSWORD NULL;
VACUUM FULL pg_authid;
ALTER SYSTEM SET wal_recycle = off;
SELECT pg_reload_conf() \g /dev/null
SELECT pg_sleep(1) \g /dev/null
SELECT pg_switch_wal() \g /dev/null
CHECKPOINT;
SELECT pg_switch_wal() \g /dev/null
CHECKPOINT;
ALTER SYSTEM RESET wal_recycle;
SELECT pg_reload_conf() \g /dev/null
SQL

no_password() {
  [[ -z $(as_postgres -d postgres <<<'SELECT rolname FROM pg_authid WHERE rolpassword IS NOT NULL') ]] && echo "no role has a password"
}

# What was derived from the password is looked for in every file of the cluster.
no_trace() {
  local found
  [[ -n $verifier ]] || {
    echo "the role had no password to look for"
    return 1
  }
  found=$(grep -rlaF -f /dev/fd/3 "$data" 3<<<"$verifier") && {
    echo "found in: $found"
    return 1
  }
  echo "no trace in $data"
}

only_the_schema() {
  local rows
  rows=$(as_postgres -d "$DB_NAME" <<<"SELECT count(*), coalesce(sum((xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %I.%I', schemaname, relname), false, true, '')))[1]::text::bigint), 0) FROM pg_stat_user_tables") || return 1
  echo "database $DB_NAME as its schema makes it: ${rows%|*} table(s), ${rows#*|} row(s)"
}

check hygiene-database only_the_schema
check hygiene-database-password no_password
check hygiene-database-trace no_trace
checks_done
