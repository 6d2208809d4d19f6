#!/usr/bin/env bash
# From this machine to a verified answer: start a test host, run site.yml on it, ask a question through its gateway.
# ENGINES=ollama,vllm puts vLLM beside Ollama.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH" UV="$PWD/.tooling/bin/uv"
host=onprem-llm-demo
state=.cache/demo

say() { printf '==> %s\n' "$*"; }

case ${ENGINES:=ollama} in
  ollama) inventory=(-i inventories/demo) models=inventories/demo/group_vars/all/models.yml inputs=(model) ;;
  ollama,vllm) inventory=(-i inventories/demo -i inventories/demo-vllm) models=inventories/demo-vllm/group_vars/vllm/main.yml inputs=(model vllm-model) ;;
  *)
    printf "error: ENGINES is '%s', but the demo knows 'ollama' and 'ollama,vllm': choose one of these.\n" "$ENGINES" >&2
    exit 1
    ;;
esac

tools/setup.sh go
mkdir -p "$state"
if [ ! -s "$state/key" ]; then
  (umask 077 && python3 -c 'import secrets; print(secrets.token_hex(32))' > "$state/key")
fi

prefetch=
if ! docker inspect "$host" > /dev/null 2>&1; then
  say "Building Ollama from its Go module in the background (log: $state/prefetch.log)"
  ansible-playbook playbooks/prefetch.yml -i inventories/demo > "$state/prefetch.log" 2>&1 &
  prefetch=$!
fi
for input in "${inputs[@]}"; do
  python3 -m tools.testbed "$input" > /dev/null
done
python3 -m tools.testbed up "$host"

say "Running site.yml on the test host"
ansible-playbook site.yml "${inventory[@]}" "$@"
if [ -n "$prefetch" ]; then
  wait "$prefetch" || { tail -n 20 "$state/prefetch.log"; exit 1; }
fi

say "Asking it a question"
python3 -m tools.ask --url https://localhost:8443 --ca "$state/ca.pem" --key-file "$state/key" --models "$models"
