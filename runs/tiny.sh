#!/usr/bin/env bash
# The whole way in a few minutes, to see it work: prepare, pretrain, train against the discriminator, write.
# The poems keep every rule and make no sense; most of the time is reading the corpus.
#
#   runs/tiny.sh CHINESE_POETRY_CHECKOUT
set -euo pipefail
cd "$(dirname "$0")/.."
corpus=${1:?give the folder of a chinese-poetry checkout}
work=work/tiny
python=.venv/bin/python
export POETGEN_HOME=$work/home

rm -rf "$work"
$python -m poetgen prepare "$corpus" --out "$work/data"
$python -m poetgen pretrain --data "$work/data" --out "$work/pretrain" --preset tiny --minutes 0.5
$python -m poetgen adversarial --data "$work/data" --generator "$work/pretrain" --out "$work/adversarial" \
    --preset tiny --minutes 0.3 --counted-chars 160 --measured-poems 8 --promote
$python -m poetgen write --count 3
