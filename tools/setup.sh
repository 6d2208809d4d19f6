#!/usr/bin/env bash
# Set up the controller inside this checkout: tools/setup.sh [GROUP...]
# GROUP is a dependency group of pyproject.toml (go, dev); without one only Ansible is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '==> %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

install_packages() { # packages..., last argument the reason
  local reason="${*: -1}" packages=("${@:1:$#-1}") root=()
  command -v apt-get > /dev/null ||
    fail "$reason needs ${packages[*]}, and this machine has no apt-get. Install them with its own package manager, then try again."
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo > /dev/null || fail "$reason needs ${packages[*]}: run 'apt-get install ${packages[*]}' as root, then try again."
    root=(sudo)
    say "Installing ${packages[*]} from the distribution with sudo: $reason"
  else
    say "Installing ${packages[*]} from the distribution: $reason"
  fi
  "${root[@]}" apt-get update -qq
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" > /dev/null
}

find_python() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2> /dev/null; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

python=$(find_python) || {
  install_packages python3 python3-venv "the controller runs on Python 3.11 to 3.13"
  python=$(find_python) || fail "This machine's newest Python is $(python3 --version 2>&1), but 3.11 to 3.13 is needed. Install one (for example python3.12), then try again."
}

if [ ! -x .tooling/bin/uv ] || [ "$(.tooling/bin/uv --version | cut -d' ' -f2)" != "$(sed -n 's/^uv==\([0-9.]*\).*/\1/p' tools/uv-requirements.txt)" ]; then
  "$python" -c 'import ensurepip, venv' 2> /dev/null || install_packages python3-venv "Python's own module venv is missing"
  say "Installing uv into .tooling"
  "$python" -m venv --clear .tooling
  .tooling/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement tools/uv-requirements.txt
fi

stamp=.venv/.synced$(printf -- "-%s" "$@")
if [ ! uv.lock -ot "$stamp" ]; then
  groups=()
  for group in "$@"; do groups+=(--group "$group"); done
  say "Installing Ansible${*:+ and the groups $*} into .venv, as uv.lock says"
  # --inexact: what another group has installed stays, so that the demo and the tests do not undo each other.
  UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=.venv \
    .tooling/bin/uv sync --quiet --frozen --inexact --python "$python" "${groups[@]}"
  touch "$stamp"
fi

link=.collections/ansible_collections/onprem/llm
if [ "$(readlink "$link" 2> /dev/null)" != ../../.. ]; then
  say "Linking this checkout as the collection onprem.llm"
  mkdir -p "$(dirname "$link")"
  ln -sfn ../../.. "$link"
fi

case " $* " in *" go "*)
  command -v cc > /dev/null && [ -e /usr/include/stdio.h ] || install_packages gcc libc6-dev "Go needs a C compiler to build Ollama"
  ;;
esac
