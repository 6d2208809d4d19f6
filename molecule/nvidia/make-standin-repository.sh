#!/bin/sh
# Make a stand-in for NVIDIA's repository of Debian 13, with its layout and a signature, and empty packages by its names. The newest driver is
# of another branch than the pinned one. Prints the digest of the package that holds the key.
set -eu
root=/srv/stand-in/debian13/x86_64
export GNUPGHOME=/root/stand-in-gnupg
mkdir -p "$root" /srv/stand-in/build
mkdir -m 700 "$GNUPGHOME"
gpg --batch --quiet --passphrase '' --quick-generate-key 'A stand-in' ed25519 sign never

# package NAME VERSION: build it from what lies in its folder
package() {
  mkdir -p "/srv/stand-in/build/$1/DEBIAN"
  printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: cudatools <cudatools@nvidia.com>\nDescription: an empty stand-in\n' \
    "$1" "$2" > "/srv/stand-in/build/$1/DEBIAN/control"
  dpkg-deb --build "/srv/stand-in/build/$1" "$root/$1_$2_all.deb" > /dev/null
}

mkdir -p /srv/stand-in/build/cuda-keyring/usr/share/keyrings
gpg --export > /srv/stand-in/build/cuda-keyring/usr/share/keyrings/cuda-archive-keyring.gpg
package cuda-keyring 1.1-1
mkdir -p /srv/stand-in/build/nvidia-driver-pinning-580/etc/apt/preferences.d
printf 'Package: nvidia-driver-cuda\nPin: version 580.*\nPin-Priority: 1000\n' \
  > /srv/stand-in/build/nvidia-driver-pinning-580/etc/apt/preferences.d/nvidia-driver-pinning-580
package nvidia-driver-pinning-580 580-1
package nvidia-driver-cuda 580.126.20-1
package nvidia-driver-cuda 620.10-1
package datacenter-gpu-manager-4-cuda13 4.5.2-1
# With the unit's command line, which says nothing of the address (NVIDIA/dcgm-exporter, packaging/config-files/systemd).
mkdir -p /srv/stand-in/build/datacenter-gpu-manager-exporter/usr/lib/systemd/system
printf '[Service]\nExecStart=/usr/bin/dcgm-exporter -f /etc/dcgm-exporter/default-counters.csv\n' \
  > /srv/stand-in/build/datacenter-gpu-manager-exporter/usr/lib/systemd/system/nvidia-dcgm-exporter.service
package datacenter-gpu-manager-exporter 4.8.1-1

cd "$root"
for file in *.deb; do
  dpkg-deb -f "$file"
  printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$file" "$(stat -c %s "$file")" "$(sha256sum < "$file" | cut -d' ' -f1)"
done > Packages
printf 'Origin: NVIDIA\nDate: %s\nSHA256:\n %s %s Packages\n' "$(LC_ALL=C date -u '+%a, %d %b %Y %H:%M:%S UTC')" "$(sha256sum < Packages | cut -d' ' -f1)" "$(stat -c %s Packages)" > Release
gpg --batch --quiet --clearsign --output InRelease Release
systemd-run --quiet --unit standin-nvidia python3 -m http.server 8088 --bind 127.0.0.1 --directory /srv/stand-in
sha256sum < cuda-keyring_1.1-1_all.deb | cut -d' ' -f1
