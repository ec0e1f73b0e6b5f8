#!/bin/sh
# Last step of building the local base image; $1 is its root folder. Run by mmdebstrap.
set -eu
root=$1

chroot "$root" useradd --create-home --shell /bin/bash --groups sudo,adm admin
chroot "$root" passwd --lock --quiet root
chmod 0440 "$root/etc/sudoers.d/90-ec2-default-user"
chroot "$root" systemctl --quiet enable ec2-boot.service ec2-user-data.service ec2-ssh-gate.service ssh.service

# apt's timers would take the package lock while an instance is provisioned.
chroot "$root" systemctl --quiet disable apt-daily.timer apt-daily-upgrade.timer
# A device that is not there cannot be scrubbed or trimmed, and a machine's disk has no second copy.
chroot "$root" systemctl --quiet disable e2scrub_all.timer e2scrub_reap.service fstrim.timer

# Identity belongs to an instance, not to the image. /etc/environment leads to what ec2-boot writes at each boot.
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/hostname" "$root/etc/environment"
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"
ln -s /etc/machine-id "$root/var/lib/dbus/machine-id"
ln -s /run/ec2-environment "$root/etc/environment"

# mmdebstrap brought the builder's own name server. Names of the machine itself must not go to it at all.
printf '# The name server that both machine drivers provide.\nnameserver 169.254.0.3\n' >"$root/etc/resolv.conf"
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts"
sed -i 's/^hosts:.*/hosts: files myhostname dns/' "$root/etc/nsswitch.conf"
: >"$root/etc/fstab"
