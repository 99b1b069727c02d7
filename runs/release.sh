#!/usr/bin/env bash
# Makes the shipped release again: prepare, pretrain, train against the discriminator, and put the result in place.
# About seven hours on two cores. Stopped, it goes on where it was when started again.
#
#   runs/release.sh CHINESE_POETRY_CHECKOUT [PRETRAIN_MINUTES] [ADVERSARIAL_MINUTES]
set -euo pipefail
cd "$(dirname "$0")/.."
corpus=${1:?give the folder of a chinese-poetry checkout}
pretrain_minutes=${2:-390}
adversarial_minutes=${3:-16}
work=work/release
python=.venv/bin/python

export POETGEN_HOME=$work/home

resume() { if [ -f "$1/checkpoint.json" ]; then echo --resume; fi; }

[ -f "$work/data/dataset.safetensors" ] || $python -m poetgen prepare "$corpus" --out "$work/data"
# shellcheck disable=SC2046  # no word at all, or one
$python -m poetgen pretrain --data "$work/data" --out "$work/pretrain" --minutes "$pretrain_minutes" \
    $(resume "$work/pretrain")
# shellcheck disable=SC2046
$python -m poetgen adversarial --data "$work/data" --generator "$work/pretrain" --out "$work/adversarial" \
    --minutes "$adversarial_minutes" $(resume "$work/adversarial") --promote

name=$($python -m poetgen versions list | sed -n 's/^\* \([0-9a-f]*\) .*/\1/p')
mkdir -p poetgen/release
cp "$POETGEN_HOME/versions/$name/model.safetensors" "$POETGEN_HOME/versions/$name/version.json" poetgen/release/
$python -m poetgen versions list
