#!/usr/bin/env bash
# Measures versions in all forms and writes docs/quality.md: about an hour on two cores for each version.
# Stopped, it goes on where it was when started again.
#
#   runs/quality.sh DATA VERSION [OTHER_VERSION ...]
#
# DATA is a folder that `poetgen prepare` wrote. The first version is the one the page is about; further ones (the
# same generator without an adversary, the release before) stand beside it. What was measured stays in work/quality (or
# QUALITY_FOLDER) by the version's name: after a change of how poems are chosen, which keeps the name, empty it.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:?give a folder that poetgen prepare wrote}
shift
: "${1:?give a version}"
work=${QUALITY_FOLDER:-work/quality}
python=.venv/bin/python
mkdir -p "$work"

# A referee that was stopped goes on; of one that is finished all minutes are used up.
# shellcheck disable=SC2046  # no word at all, or one
$python -m poetgen referee --data "$data" $([ ! -f "$data/referee/checkpoint.safetensors" ] || echo --resume)
for version in "$@"; do
    for form in qijue wulv wujue qilv; do
        found=$work/$version-$form.json
        if [ ! -f "$found" ]; then
            $python -m poetgen evaluate --version "$version" --form "$form" --data "$data" --json > "$found.part"
            mv "$found.part" "$found"
        fi
    done
done
$python -m poetgen.evaluation.page --data "$data" --found "$work" --out docs "$@"
