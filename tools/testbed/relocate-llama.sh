# shellcheck shell=sh
# Runs inside a container: $1 package, $2 owner of the result. Leaves a relocatable llama-server in /out.
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" > /dev/null
cp -L /usr/bin/llama-server /out/llama-server.bin
cp -L /usr/lib/*/ggml/backends0/libggml-cpu-*.so /out/
for file in /usr/bin/llama-server /out/libggml-cpu-*.so; do ldd "$file"; done |
    sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*ld-linux[^ ]*\) .*/\1/p' | sort -u |
    while read -r library; do cp -L "$library" /out/; done
loader=$(basename /out/ld-linux*)
cat > /out/llama-server <<END
#!/bin/sh
here=\$(dirname "\$(readlink -f "\$0")")
exec "\$here/$loader" --library-path "\$here" "\$here/llama-server.bin" "\$@"
END
chmod 0755 /out/llama-server
chown -R "$2" /out
