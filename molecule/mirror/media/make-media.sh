# shellcheck shell=sh
# Makes what a medium brings into a closed room: a release of Ollama, a .deb, an .rpm and a wheel; and fills the stand-in for upstream.
# Its last two lines are the digests of the release and of the tokenizer.
set -eu
here=$(dirname "$0")
model=/srv/in/SmolLM2-135M-Instruct

# The program that Go built and the llama-server that was carried in, packed as a release is. Ollama lets llama-server search lib/ollama
# for libraries: those of another distribution may not lie there.
pack=/root/pack
mkdir -p "$pack/bin" "$pack/lib/ollama" /srv/media
mv /root/ollama "$pack/bin/ollama"
cp -r /srv/in/llama "$pack/lib/carried"
cat > "$pack/lib/ollama/llama-server" <<'END'
#!/bin/sh
exec "$(dirname "$(readlink -f "$0")")/../carried/llama-server" "$@"
END
chmod 0755 "$pack/lib/ollama/llama-server"
tar --zstd -cf /srv/media/ollama-linux-amd64.tar.zst -C "$pack" bin lib
rm -r "$pack"

# Packages of the two families that say "hello".
mkdir -p /srv/media/deb /srv/media/rpm "$here/deb/usr/bin"
printf '#!/bin/sh\necho hello from the mirror\n' > "$here/deb/usr/bin/mirror-hello"
chmod 0755 "$here/deb/usr/bin/mirror-hello"
dpkg-deb --root-owner-group --build "$here/deb" /srv/media/deb
rpmbuild --quiet --define "_rpmdir /srv/media/rpm" --define "_rpmfilename %{NAME}-%{VERSION}.rpm" -bb "$here/mirror-hello.spec"

# A wheel, and the upstream's content: a repository of the Hub and a model of Ollama's registry.
mkdir -p /srv/upstream/hub/HuggingFaceTB
ln -s "$model" /srv/upstream/hub/HuggingFaceTB/
cd "$here"
python3 - <<'END'
from pathlib import Path

from tests.standin_upstream import add_ollama_model
from wheel_writer import write_wheel

CHATML = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
TEXTS = {"template": CHATML, "params": '{"stop":["<|im_start|>","<|im_end|>"],"temperature":0}', "license": "Apache-2.0"}
write_wheel(Path("/srv/media/wheels"), "mirror-hello", "1.0")
gguf = Path("/srv/in/SmolLM2-135M-Instruct.Q4_1.gguf")
add_ollama_model(Path("/srv/upstream"), "capital:1", gguf, texts=TEXTS)
# Another file, and the same to llama-server.
add_ollama_model(Path("/srv/upstream"), "capital:2", gguf.read_bytes() + bytes(64), texts=TEXTS)
END

cd /srv/media
sha256sum ollama-linux-amd64.tar.zst deb/*.deb rpm/*.rpm wheels/*.whl > SHA256SUMS
cut -d " " -f 1 SHA256SUMS | head -n 1
sha256sum < "$model/tokenizer.json" | cut -d " " -f 1
