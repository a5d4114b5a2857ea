#!/usr/bin/env bash
# Builds the environment in .venv from the lock file of this machine's device. `make` runs it; it is safe to run again.
#   DEVICE=cpu|gpu  which lock file; by default gpu if there is an NVIDIA GPU
#   PYTHON=python3.11
set -euo pipefail
cd "$(dirname "$0")/.."

device=${DEVICE:-$(command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep GPU >/dev/null && echo gpu || echo cpu)}
case $device in cpu | gpu) ;; *) echo "error: DEVICE is '$device'; it should be cpu or gpu." >&2; exit 2 ;; esac
python=${PYTHON:-python3.11}
command -v "$python" >/dev/null || { echo "error: $python is not installed; install Python 3.11 (Debian: apt-get install python3.11-venv), or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
if [ "$device" = cpu ] && command -v ldconfig >/dev/null && ! ldconfig -p | grep libnuma.so.1 >/dev/null; then
  echo "error: vLLM on a CPU needs libnuma; install it (Debian: apt-get install libnuma1) and run again." >&2
  exit 1
fi
lock=infra/requirements/$device.lock
stamp=.venv/.anneal-$(sha256sum "$lock" infra/setup.sh | sha256sum | cut -c1-16)
[ -e "$stamp" ] && exit 0

export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true} # trust the machine's certificates, as pip does

exec 9>.setup.lock
flock -n 9 || { echo "another set-up is running; waiting for it to end"; flock 9; }
[ -e "$stamp" ] && exit 0
say() { echo "set-up: $* ($(date +%T))"; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() { "$@" >"$log" 2>&1 || { tail -n 5 "$log" >&2; echo "error: set-up failed at: ${*:1:4} … (above, its last words); check the disk and the package index, then run again." >&2; exit 1; }; }

rm -f .venv/.anneal-*
if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
  say "making .venv for $device"
  rm -rf .venv
  quietly "$python" -m venv .venv
fi
quietly .venv/bin/python -m pip install -q --disable-pip-version-check "$(grep '^uv==' infra/requirements/setup.txt)"

torch=$(grep '^torch==' "$lock")
if [ "$device" = cpu ] && ! .venv/bin/python -c "import torch, sys; sys.exit('$torch' != 'torch==' + torch.__version__.split('+')[0])" 2>/dev/null; then
  say "installing $torch for the CPU"
  # pip honours this machine's configuration, which may offer a CPU build; PyTorch's CPU index is tried next, briefly.
  found=$(.venv/bin/python -m pip install --disable-pip-version-check --dry-run --no-deps --ignore-installed "$torch" 2>/dev/null | grep -o 'Would install torch-[^ ]*' || true)
  if [[ $found == *+cpu* || $(uname -m) == aarch64 ]] ||
    ! UV_HTTP_TIMEOUT=10 UV_HTTP_RETRIES=0 timeout 300 .venv/bin/uv pip install -q -p .venv/bin/python --torch-backend cpu --no-deps "$torch" >"$log" 2>&1; then
    quietly .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps "$torch"
  fi
fi
say "installing $(wc -l <"$lock") packages"
quietly .venv/bin/uv pip install -q -p .venv/bin/python --no-deps --compile-bytecode -r "$lock"
if ! .venv/bin/python -c 'import torch' 2>/dev/null; then
  say "this torch is a CUDA build; installing the libraries that it needs"
  quietly .venv/bin/uv pip install -q -p .venv/bin/python "$torch" --override infra/requirements/gpu.overrides.txt
fi
.venv/bin/python -c 'import torch' || { echo "error: torch does not import; remove .venv and run again." >&2; exit 1; }
touch "$stamp"
say "done"
