#!/usr/bin/env bash
# Makes a release as the shipped one was made: prepare, pretrain, train against the discriminator, and put the result in
# place. It is not the same file: training stops by the clock, the file of marks has grown by 2,427 poems since, and what
# the discriminator is shown has been mended. Stopped, it goes on where it was when started again.
#
#   runs/release.sh CHINESE_POETRY_CHECKOUT [DEVICE]
#
# With DEVICE cuda in about an hour, twelve minutes of it on the GPU (an H100's minutes): a larger generator is
# the teacher of the one that is shipped. With cpu (the default) in about seven hours on two cores, in which there is no
# time for a teacher, and what comes out was taught less.
set -euo pipefail
cd "$(dirname "$0")/.."
corpus=${1:?give the folder of a chinese-poetry checkout}
device=${2:-cpu}
work=work/release
python=.venv/bin/python

export POETGEN_HOME=$work/home

resume() { if [ -f "$1/checkpoint.safetensors" ]; then echo --resume; fi; }
pretrain() { # FOLDER MINUTES [further options]
    # shellcheck disable=SC2046  # no word at all, or one
    $python -m poetgen pretrain --data "$work/data" --device "$device" --out "$1" --minutes "$2" "${@:3}" $(resume "$1")
}

[ -f "$work/data/dataset.safetensors" ] || $python -m poetgen prepare "$corpus" --out "$work/data"
if [ "$device" = cpu ]; then
    pretrain "$work/pretrain" 390
else
    pretrain "$work/teacher" 4 --preset teacher
    pretrain "$work/pretrain" 8.25 --preset gpu --teacher "$work/teacher"
fi
# shellcheck disable=SC2046
$python -m poetgen adversarial --data "$work/data" --generator "$work/pretrain" --out "$work/adversarial" \
    --minutes 34 --marks runs/marks.jsonl.xz $(resume "$work/adversarial") --promote

name=$($python -m poetgen versions list | sed -n 's/^\* \([0-9a-f]*\) .*/\1/p')
mkdir -p poetgen/release
cp "$POETGEN_HOME/versions/$name/model.safetensors" "$POETGEN_HOME/versions/$name/version.json" poetgen/release/
$python -m poetgen versions list
