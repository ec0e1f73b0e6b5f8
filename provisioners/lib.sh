# Shared functions of the provisioning scripts: logging, retries, packages per family, checks. Sourced, never run.
# shellcheck shell=bash disable=SC2154 # FAMILY and the other values come from recipe.env

# The Go of the go.dev tarball takes precedence where it is installed.
export PATH="/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
export LC_ALL=C.UTF-8
export DEBIAN_FRONTEND=noninteractive

log() { printf '==> %s\n' "$*"; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# retry TIMES SECONDS COMMAND...: runs the command until it succeeds, at most TIMES times.
retry() {
  local times=$1 delay=$2 attempt
  shift 2
  for ((attempt = 1; attempt < times; attempt++)); do
    if "$@"; then return 0; fi
    printf 'attempt %d of %d failed: %s\n' "$attempt" "$times" "$1" >&2
    sleep "$delay"
  done
  "$@"
}

# systemd's manager has the endpoint of the AWS API where it is not Amazon's; sudo may have dropped it from the environment.
if [[ -z ${AWS_ENDPOINT_URL:-} ]] && command -v systemctl >/dev/null; then
  AWS_ENDPOINT_URL=$(systemctl show-environment 2>/dev/null | sed -n 's/^AWS_ENDPOINT_URL=//p') || true
fi
if [[ -n ${AWS_ENDPOINT_URL:-} ]]; then export AWS_ENDPOINT_URL; else unset AWS_ENDPOINT_URL; fi

# --- packages -----------------------------------------------------------------------------------------------------------

family_is_apt() { [[ $FAMILY == debian-* || $FAMILY == ubuntu-* ]]; }

# --force-unsafe-io: a builder that crashes is terminated, so dpkg need not sync each file.
apt_get() {
  apt-get -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Options::=--force-confold \
    -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 -qq "$@"
}

packages_refresh() {
  if family_is_apt; then retry 5 5 apt_get update; else retry 5 5 dnf -y -q makecache; fi
}

packages_upgrade() {
  if family_is_apt; then
    apt_get -y --no-install-recommends dist-upgrade
  else
    # Amazon Linux 2023 stays at the release of its AMI unless a newer one is given.
    retry 3 5 dnf -y --releasever=latest upgrade
  fi
}

packages_install() {
  if (($# == 0)); then return 0; fi
  if family_is_apt; then
    retry 3 5 apt_get -y --no-install-recommends install "$@"
  else
    retry 3 5 dnf -y install "$@"
  fi
}

# packages_pending: prints the packages that an upgrade would change, one per line.
packages_pending() {
  if family_is_apt; then
    apt_get -s dist-upgrade | sed -n 's/^Inst \([^ ]*\).*/\1/p'
  else
    local output code=0
    output=$(dnf -q --releasever=latest check-update) || code=$?
    case $code in
      0) ;;
      100) awk 'NF == 3 { print $1 }' <<<"$output" ;;
      *) return "$code" ;;
    esac
  fi
}

# package_candidate NAME: prints the version that the distribution would install, or nothing.
package_candidate() {
  if family_is_apt; then
    apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p' | grep -v '^(none)$' || true
  else
    dnf -q repoquery --latest-limit=1 --qf '%{version}' "$1" 2>/dev/null | head -n 1 || true
  fi
}

# packages_list: prints name, version, architecture, source package and source version of each installed package, tab-separated.
# Distributions' advisories name source packages.
packages_list() {
  if family_is_apt; then
    # shellcheck disable=SC2016 # dpkg's own ${…}
    dpkg-query -W -f '${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n' |
      sed -n 's/^installed\t//p'
  else
    rpm -qa --qf '%{NAME}\t%{EVR}\t%{ARCH}\t%{SOURCERPM}\n' | grep -v '^gpg-pubkey' | source_of_rpm | sort
  fi
}

# source_of_rpm: splits the last column, NAME-VERSION-RELEASE.src.rpm, into name and version. Uses the package's own version,
# because the source's has no epoch.
source_of_rpm() {
  awk -F'\t' -v OFS='\t' '{ source = $4; sub(/-[^-]*-[^-]*\.src\.rpm$/, "", source); print $1, $2, $3, source, $2 }'
}

packages_clean() {
  if family_is_apt; then
    apt-get clean
    rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old /var/lib/dpkg/*-old
  else
    dnf -q clean all
    rm -rf /var/cache/dnf /var/cache/yum
  fi
}

# --- versions -----------------------------------------------------------------------------------------------------------

# version_matches DECLARED ACTUAL: 1.19 matches 1.19 and 1.19.8, but not 1.190.
version_matches() { [[ $2 == "$1" || $2 == "$1".* ]]; }

go_version() { go version 2>/dev/null | sed -n 's/^go version go\([0-9.]*\).*/\1/p'; }

# --- PostgreSQL ---------------------------------------------------------------------------------------------------------

# as_postgres ARGUMENTS...: runs SQL from standard input as superuser and prints bare values.
as_postgres() { (cd / && runuser -u postgres -- psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"); }

postgresql_major() { as_postgres -d postgres <<<'SHOW server_version_num' | sed 's/....$//'; }

postgresql_data() { as_postgres -d postgres <<<'SHOW data_directory'; }

# The rows that the schema creates in an empty database, see provisioners/app/85-empty-database.sh.
seeds_file=${GOLDENAMI_SHARE:-/usr/local/share/goldenami}/seeds.json

# --- the application's user ---------------------------------------------------------------------------------------------

as_app() { runuser -u "$APP_USER" -- "$@"; }

# Compiled packages of the base layer for the app layer, which deletes them.
build_cache=/var/cache/golden-build

# build_as_app COMMAND: runs a build command of the recipe in the current folder, as the application's user.
build_as_app() {
  install -d -o "$APP_USER" -g "$(id -gn "$APP_USER")" -m 0700 "$build_cache"
  as_app env HOME="$build_cache" GOCACHE="$build_cache/go-build" GOPATH="$build_cache/go" GOFLAGS="${GOFLAGS:--modcacherw}" \
    bash -eo pipefail -c "$1"
}

# homes: prints every home folder, also of accounts without a login.
homes() { getent passwd | cut -d : -f 6 | sort -u | while read -r home; do if [[ $home != / && -d $home ]]; then echo "$home"; fi; done; }

# --- checks -------------------------------------------------------------------------------------------------------------
# A failed check does not stop the script; checks_done fails after all of them have run.

checks_failed=0

# record_check NAME ok|FAIL DETAIL: prints the result and appends it to the report.
record_check() {
  local name=$1 status=$2 detail=${3//$'\n'/; } ok=true
  if [[ $status != ok ]]; then
    ok=false
    checks_failed=$((checks_failed + 1))
  fi
  printf 'CHECK %s %s %s\n' "$name" "$status" "$detail"
  if [[ -d ${GOLDEN:-/nonexistent}/report ]]; then
    jq -cn --arg check "$name" --argjson ok "$ok" --arg detail "$detail" '{$check, $ok, $detail, gate: "image"}' \
      >>"$GOLDEN/report/checks.jsonl"
  fi
}

# check NAME COMMAND...: passes if the command succeeds; its output is the detail. errexit is off in the command: use && and return.
check() {
  local name=$1 detail
  shift
  if detail=$("$@" 2>&1); then record_check "$name" ok "$detail"; else record_check "$name" FAIL "${detail:-no detail}"; fi
}

checks_done() {
  if ((checks_failed > 0)); then die "$checks_failed check(s) failed, see the lines CHECK … FAIL above"; fi
}

report_begin() {
  mkdir -p "$GOLDEN/report"
  rm -f "$GOLDEN/report"/*
}

# no_failed_units: fails if a systemd unit has failed, and prints their names.
no_failed_units() {
  local failed
  failed=$(systemctl list-units --failed --plain --no-legend | awk '{ print $1 }')
  if [[ -n $failed ]]; then
    echo "$failed"
    return 1
  fi
  echo "none"
}

# write_inventory: writes the image's inventory to report/inventory.json and report/packages.tsv.
write_inventory() {
  local report=$GOLDEN/report
  packages_list >"$report/packages.tsv"
  jq -n \
    --arg layer "$LAYER" \
    --arg os "$(sed -n 's/^PRETTY_NAME=//p' /etc/os-release | tr -d \")" \
    --arg kernel "$(uname -r)" \
    --arg machine "$(uname -m)" \
    --arg go "$(go_version)" \
    --arg postgresql "$(as_postgres -d postgres <<<'SHOW server_version')" \
    --arg commit "${APP_COMMIT:-}" \
    --arg enabled "$(systemctl list-unit-files --state=enabled --type=service --plain --no-legend | awk '{ print $1 }')" \
    --arg failed "$(systemctl list-units --failed --plain --no-legend | awk '{ print $1 }')" \
    --arg listening "$(ss -Hltnp | awk '{ split($6, p, "\""); print $4 "\t" p[2] }' | sort -u)" \
    --arg users "$(getent passwd | awk -F: '{ print $1 " (" $3 ", " $7 ")" }')" \
    --arg setuid "$(find / -xdev -type f -perm /6000 -printf '%p (%m, %u:%g)\n' | sort)" \
    --arg disk "$(df --block-size=1 --output=size,used / | tail -n 1)" \
    --argjson migrations "$(cat /usr/local/share/goldenami/migrations.json 2>/dev/null || echo null)" \
    --arg packages "$(wc -l <"$report/packages.tsv")" \
    --slurpfile seeds <(cat "$seeds_file" 2>/dev/null) \
    '
    def lines: split("\n") | map(select(. != ""));
    ($disk | split(" ") | map(select(. != "") | tonumber)) as $disk
    | {
        $layer, $os, $kernel, architecture: $machine, $go, $postgresql, $commit,
        packages: ($packages | tonumber), $migrations,
        disk: {size_bytes: $disk[0], used_bytes: $disk[1]},
        units: {enabled: ($enabled | lines), failed: ($failed | lines)},
        listening: ($listening | lines | map(split("\t") | {address: .[0], process: (.[1] // "")})),
        users: ($users | lines), setuid: ($setuid | lines),
        seeds: $seeds[0]
      }' >"$report/inventory.json"
  chmod -R a+rX "$report"
}
