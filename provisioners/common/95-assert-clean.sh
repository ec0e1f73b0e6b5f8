#!/usr/bin/env bash
# Asserts that nothing was left behind, and takes away the work folder itself.
# shellcheck disable=SC1090,SC1091,SC2154 # the values come from recipe.env, the functions from lib.sh
set -euo pipefail
source "$GOLDEN/recipe.env"
source "$GOLDEN/files/lib.sh"

# Both files were read by now.
rm -rf "$GOLDEN"

# empty_find WORDS...: succeeds when find prints nothing.
empty_find() {
  local found
  found=$(find "$@" 2>/dev/null | head -n 5)
  if [[ -n $found ]]; then
    echo "found: $found"
    return 1
  fi
  echo "none"
}

authorized_keys() {
  local home found=()
  while read -r home; do
    found+=("$home"/.ssh/authorized_keys* "$home"/.ssh/id_*)
  done < <(homes)
  empty_find "${found[@]}" -maxdepth 0
}

credentials() {
  local home found=()
  while read -r home; do
    found+=("$home/.aws" "$home/.azure" "$home/.docker" "$home/.config/gcloud" "$home/.netrc" "$home/.pgpass" "$home/.git-credentials")
  done < <(homes)
  empty_find "${found[@]}" -maxdepth 0
}

histories() {
  local found=()
  mapfile -t found < <(homes)
  empty_find "${found[@]}" -maxdepth 1 -name '.*history'
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

# SecureString values are read now, through the role, and looked for where an installation could have left them.
secrets() {
  local name type value line pattern found places=() looked=0
  for name in /etc /opt /home /root /srv /usr/local /var "$APP_DIRECTORY"; do
    if [[ -d $name ]]; then places+=("$name"); fi
  done
  for name in ${PARAMETERS[@]+"${PARAMETERS[@]}"}; do
    type=$(/usr/local/lib/goldenami/ssm-parameter --type "$name") || return 1
    if [[ $type != SecureString ]]; then continue; fi
    value=$(/usr/local/lib/goldenami/ssm-parameter "$name") || return 1
    # grep takes each line as a pattern of its own: of a longer value the longest line is the most telling.
    pattern=
    while IFS= read -r line; do
      if ((${#line} > ${#pattern})); then pattern=$line; fi
    done <<<"$value"
    if ((${#pattern} < 6)); then
      echo "$name is too short to be looked for;"
      continue
    fi
    looked=$((looked + 1))
    # The pattern comes through a file descriptor: an argument would show it to every user.
    if found=$(grep -rlaF -D skip -f /dev/fd/3 "${places[@]}" 3< <(printf '%s\n' "$pattern" "$(printf %s "$value" | base64 -w 0)") 2>/dev/null); then
      echo "the value of $name is in: $found"
      return 1
    fi
  done
  echo "$looked secret value(s) looked for, none found"
}

log "Asserting that the image is clean"
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
