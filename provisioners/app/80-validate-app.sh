#!/usr/bin/env bash
# Gate 1 of the app layer: application built, units enabled and active, service healthy, parameters readable. Writes the report.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

program=${APP_EXEC%% *}
program=${program#"${program%%[!-@:+!|]*}"}

built() { [[ -x $program ]] && echo "$program, $(stat -c %s "$program") bytes, $(go version "$program" 2>/dev/null | sed 's/.*: //' || true)"; }

unit_enabled() {
  local state
  state=$(systemctl is-enabled "$1")
  echo "$1: $state"
  [[ $state == enabled ]]
}

unit_active() {
  local state
  state=$(systemctl is-active "$1")
  echo "$1: $state"
  [[ $state == active ]]
}

# Waits up to 90 seconds; the last response is the detail of the check.
healthy() {
  local url="http://127.0.0.1:$APP_PORT$APP_HEALTH" deadline=$((SECONDS + 90)) status
  while true; do
    status=$(curl --silent --show-error --max-time 5 --output /dev/null --write-out '%{http_code}' "$url" 2>&1)
    if [[ $status == 200 ]]; then
      echo "GET $url: 200"
      return 0
    fi
    if ((SECONDS >= deadline)); then
      echo "GET $url: $status; $(journalctl --no-pager --lines=5 --output=cat --unit="$SERVICE.service" 2>&1)"
      return 1
    fi
    sleep 1
  done
}

# answers PATH STATUS TEXT SECONDS: checks one response of [[checks]]; its first line is the detail.
answers() {
  local url="http://127.0.0.1:$APP_PORT$1" expected=$2 body status
  if [[ -n $3 ]]; then expected+=" with \"$3\""; fi
  body=$(mktemp)
  status=$(curl --silent --show-error --max-time "$4" --output "$body" --write-out '%{http_code}' "$url" 2>&1)
  echo "GET $url: $status, expected $expected: $(head -n 1 "$body" | head -c 200)"
  [[ $status == "$2" ]] && { [[ -z $3 ]] || grep --quiet --fixed-strings -e "$3" "$body"; }
  status=$?
  rm -f "$body"
  return "$status"
}

# The value must not be in the report.
parameter_readable() {
  /usr/local/lib/goldenami/ssm-parameter "$1" >/dev/null && echo "$1 is readable through the instance's role"
}

database_ready() {
  local tables
  tables=$(as_postgres -d "$DB_NAME" <<<"SELECT count(*) FROM pg_stat_user_tables") && echo "database $DB_NAME, $tables table(s)"
}

units=(postgresql "$SERVICE-database" "$SERVICE")
if [[ $DB_MODE == volume ]]; then units+=(goldenami-volume); fi

log "Checking the app layer"
report_begin
check app-built built
check database database_ready
for unit in "${units[@]:1}"; do
  check "unit-enabled-$unit" unit_enabled "$unit.service"
done
check health healthy
for ((number = 0; number < ${#APP_CHECKS[@]}; number += 4)); do
  check "response-$((number / 4 + 1))" answers "${APP_CHECKS[@]:number:4}"
done
for unit in "${units[@]}"; do
  check "unit-active-$unit" unit_active "$unit.service"
done
for number in "${!PARAMETERS[@]}"; do
  check "parameter-store-$((number + 1))" parameter_readable "${PARAMETERS[number]}"
done
check no-failed-units no_failed_units
write_inventory
checks_done
