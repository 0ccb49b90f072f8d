#!/bin/sh
# Makes a machine image for one service out of a fresh Amazon Linux 2023. Packer
# runs it as root on the machine that becomes the image, with
#   FROM    the directory with what was uploaded: files/ and rootfs.tar.gz
#   ROOTFS  the sha256 of the archive, unpacked
# It changes no running kernel setting and starts nothing: the image it leaves
# does, when it boots.
set -eu
umask 022

fail() {
	echo "cannot bake: $*" >&2
	exit 1
}

# A machine that is not there to be baked must not be changed.
[ "$(id -u)" = 0 ] || fail "this runs as root on the machine that becomes an image"
# shellcheck disable=SC1091
. /etc/os-release
[ "${ID:-}-${VERSION_ID:-}" = amzn-2023 ] ||
	fail "the base is ${ID:-unknown} ${VERSION_ID:-}, and godwit's machine images are made from Amazon Linux 2023: choose such an AMI"
[ -f "$FROM/rootfs.tar.gz" ] || fail "$FROM lacks what Packer uploads"

echo "godwit: packages"
dnf --assumeyes --quiet install amazon-cloudwatch-agent awscli-2 logrotate nftables python3 ||
	fail "packages cannot be installed: has the subnet a way to Amazon's repositories (a NAT, or an S3 endpoint)?"
for program in aws curl journalctl logrotate nft python3; do
	command -v "$program" >/dev/null || fail "$program is missing on the base"
done

echo "godwit: the image's root file system"
got=$(gzip -dc "$FROM/rootfs.tar.gz" | sha256sum | cut -d ' ' -f 1)
[ "$got" = "$ROOTFS" ] || fail "the root file system arrived with sha256 $got, and $ROOTFS was sent: bake again"
rm -rf /opt/godwit
mkdir -p /opt/godwit/image/rootfs
tar --extract --gzip --file "$FROM/rootfs.tar.gz" --directory /opt/godwit/image/rootfs \
	--no-same-owner --preserve-permissions --keep-old-files

echo "godwit: units, scripts, hardening"
(cd "$FROM/files" && find . -type f) | while read -r file; do
	case $file in
	./opt/godwit/bin/*) mode=0755 ;;
	*) mode=0644 ;;
	esac
	install -D --owner=root --group=root --mode="$mode" "$FROM/files/$file" "/$file"
done
systemd-sysusers /etc/sysusers.d/godwit.conf
[ "$(id -u godwit)" = 5990 ] || fail "user godwit has another number than 5990, which the firewall goes by: the base has taken it"
systemctl --quiet enable godwit-firewall.service godwit-boot.service godwit-service.service godwit-agent.service \
	godwit-log.service godwit-metrics.service godwit-rotate.timer
# An image does not change itself: it is replaced by a newer one.
for unit in amazon-ssm-agent.service sshd.service sshd.socket sshd-keygen.target dnf-makecache.timer update-motd.timer \
	getty@tty1.service serial-getty@ttyS0.service ctrl-alt-del.target kdump.service rpcbind.socket postfix.service; do
	systemctl --quiet mask "$unit"
done

echo "godwit: nobody can log in"
usermod --lock root
for home in /root /home/*; do
	rm -f "$home/.ssh/authorized_keys" "$home/.bash_history"
done
rm -f /etc/ssh/ssh_host_*
if id -u ec2-user >/dev/null 2>&1; then
	usermod --lock ec2-user
fi
rm -f /etc/sudoers.d/90-cloud-init-users

echo "godwit: nothing of this machine stays in the image"
dnf --quiet clean all
if command -v cloud-init >/dev/null; then
	cloud-init clean --logs
fi
rm -rf /var/log/journal/* /var/log/amazon /var/lib/amazon/ssm "$FROM"
: >/etc/machine-id
sync
echo "godwit: baked"
