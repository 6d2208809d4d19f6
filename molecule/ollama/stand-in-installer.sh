#!/bin/sh
# Stand-in for Ollama's install.sh, which downloads: the same account, files, unit and override, with the program that is already here.
set -eu
program=$1 models=$2
useradd -r -s /bin/false -U -m -d /usr/share/ollama ollama
chmod 0755 /usr/share/ollama
install -o0 -g0 -m755 -d /usr/local/lib/ollama
install -o0 -g0 -m755 "$program" /usr/local/bin/ollama
ln -s /srv/in/llama/llama-server /usr/local/lib/ollama/llama-server
touch /usr/local/lib/ollama/libggml-of-the-version-before.so
mkdir -p /usr/share/ollama/.ollama
mv "$models" /usr/share/ollama/.ollama/models
chown -R ollama:ollama /usr/share/ollama
cat > /etc/systemd/system/ollama.service <<UNIT
[Unit]
Description=Ollama Service
After=network-online.target

[Service]
ExecStart=/usr/local/bin/ollama serve
User=ollama
Group=ollama
Restart=always
RestartSec=3
Environment="PATH=$PATH"

[Install]
WantedBy=default.target
UNIT
mkdir -p /etc/systemd/system/ollama.service.d
printf '[Service]\nEnvironment="OLLAMA_MAX_QUEUE=7"\n' > /etc/systemd/system/ollama.service.d/override.conf
systemctl daemon-reload
systemctl enable --quiet --now ollama
