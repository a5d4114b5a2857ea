#!/usr/bin/env bash
# Brings the image's code into the workspace volume, where the pipeline keeps its data, models and reports; run before the flows start.
# What was computed or harvested stays. The commit tells which image a model came from: the image itself carries no history.
set -euo pipefail
from=${1:-/srv/anneal} to=${2:-/workspace}
cp -R --no-preserve=ownership "$from/." "$to/"
cd "$to"
mkdir -p reports # the gateway shows what lies there
git init -q
git add -A
git -c user.name=anneal -c user.email=anneal@localhost commit -q --allow-empty -m "image built from ${ANNEAL_REVISION:-unknown}"
