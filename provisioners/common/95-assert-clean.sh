#!/usr/bin/env bash
# Checks that the cleanup was complete, and deletes the work folder.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

# Both sourced files have been read.
rm -rf "$GOLDEN"

# empty_find ARGUMENTS...: succeeds if find prints nothing.
empty_find() {
  local files
  files=$(find "$@" 2>/dev/null | head -n 5)
  if [[ -n $files ]]; then
    echo "found: $files"
    return 1
  fi
  echo "none"
}

authorized_keys() {
  local home paths=()
  while read -r home; do
    paths+=("$home"/.ssh/authorized_keys* "$home"/.ssh/id_*)
  done < <(homes)
  empty_find "${paths[@]}" -maxdepth 0
}

credentials() {
  local home paths=()
  while read -r home; do
    paths+=("$home/.aws" "$home/.azure" "$home/.docker" "$home/.config/gcloud" "$home/.netrc" "$home/.pgpass" "$home/.git-credentials")
  done < <(homes)
  empty_find "${paths[@]}" -maxdepth 0
}

histories() {
  local paths=()
  mapfile -t paths < <(homes)
  empty_find "${paths[@]}" -maxdepth 1 -name '.*history'
}

machine_id() {
  [[ -e /etc/machine-id && ! -s /etc/machine-id ]] || {
    echo "/etc/machine-id is not an empty file"
    return 1
  }
  empty_find /var/lib/dbus/machine-id -type f
}

package_caches() {
  if family_is_apt; then
    empty_find /var/lib/apt/lists /var/cache/apt -type f ! -name lock
  else
    empty_find /var/cache/dnf /var/cache/yum -type f
  fi
}

no_stray_swap() {
  local file
  for file in /swapfile /var/swapfile; do
    if [[ -e $file ]] && ! grep -q "^${file}[[:space:]]" /etc/fstab; then
      echo "$file is not in /etc/fstab"
      return 1
    fi
  done
  echo "none"
}

# Reads the SecureString values through the role and searches the folders that an installation may have written to.
secrets() {
  local name type value line pattern files folders=() searched=0
  for name in /etc /opt /home /root /srv /usr/local /var "$APP_DIRECTORY"; do
    if [[ -d $name ]]; then folders+=("$name"); fi
  done
  for name in ${PARAMETERS[@]+"${PARAMETERS[@]}"}; do
    type=$(/usr/local/lib/goldenami/ssm-parameter --type "$name") || return 1
    if [[ $type != SecureString ]]; then continue; fi
    value=$(/usr/local/lib/goldenami/ssm-parameter "$name") || return 1
    # grep -f takes each line as a pattern: the longest line identifies a multi-line value best.
    pattern=
    while IFS= read -r line; do
      if ((${#line} > ${#pattern})); then pattern=$line; fi
    done <<<"$value"
    if ((${#pattern} < 6)); then
      echo "$name is too short to search for;"
      continue
    fi
    searched=$((searched + 1))
    # A file descriptor, because arguments are visible to every user.
    if files=$(grep -rlaF -D skip -f /dev/fd/3 "${folders[@]}" 3< <(printf '%s\n' "$pattern" "$(printf %s "$value" | base64 -w 0)") 2>/dev/null); then
      echo "the value of $name is in: $files"
      return 1
    fi
  done
  echo "$searched secret value(s) searched for, none found"
}

log "Checking that the image is clean"
check hygiene-authorized-keys authorized_keys
check hygiene-credentials credentials
check hygiene-histories histories
check hygiene-host-keys empty_find /etc/ssh -name 'ssh_host_*'
check hygiene-machine-id machine_id
check hygiene-random-seed empty_find /var/lib/systemd /var/lib/urandom -maxdepth 1 \( -name random-seed -o -name credential.secret \)
check hygiene-leases empty_find /var/lib/dhcp /var/lib/dhclient -type f
check hygiene-package-caches package_caches
check hygiene-logs empty_find /var/log -type f -size +0
check hygiene-temporary-files empty_find /tmp /var/tmp -mindepth 1 -maxdepth 1 ! -name 'systemd-private-*' ! -path "$0"
check hygiene-swap no_stray_swap
if [[ $LAYER == app ]]; then
  check hygiene-tls-key empty_find /etc/ssl/private -name 'ssl-cert-snakeoil.key'
  check hygiene-secrets secrets
fi
sync
checks_done
