"""Nats of people's poems where tones and rhyme are given, as they are when the poet writes."""

from dataclasses import replace

import torch

from poetgen import prosody
from poetgen.checkpoint import Model
from poetgen.dataset import PATTERN_NAMES, FormData
from poetgen.generator import Conditions
from poetgen.likelihood import IMPORTANCE_SAMPLES, poem_nll
from poetgen.poet import constraints_of
from poetgen.sampling import template_codes

_ROWS = 50


@torch.no_grad()
def masked_nats(model: Model, data: FormData) -> float:
    """Mean nats a character of regulated poems, told pattern and rhyme, among the characters that fit these.

    Poems with a character whose sound the model is not sure of are left out: it could not have written them.

    Args:
        model: The version.
        data: Poems of one form with pattern and rhyme, and without characters too rare for the vocabulary.
    """
    constraints = constraints_of(model)
    form = data.form
    length = form.line_lengths[0]
    source = torch.Generator().manual_seed(0)
    total = chars = 0.0
    for start in range(0, len(data), _ROWS):
        rows = data.take(slice(start, start + _ROWS))
        ids = torch.from_numpy(rows.ids).long()
        patterns = [PATTERN_NAMES[int(number)] for number in rows.patterns]
        codes = template_codes(form, patterns)
        masks = constraints.tones[codes].any(dim=2).flatten(1, 2)
        rhymes = torch.from_numpy(rows.rhymes).long()
        for row, pattern in enumerate(patterns):
            for line in prosody.rhyming_lines(pattern, form.num_lines):
                masks[row, (line + 1) * length - 1] &= constraints.rhymes[rhymes[row]]
        sure = masks.gather(2, ids[:, :, None])[:, :, 0].all(dim=1)
        if not sure.any():
            continue
        told = replace(
            Conditions.none(form, int(sure.sum())),
            patterns=torch.from_numpy(rows.patterns).long()[sure],
            rhymes=rhymes[sure],
        )
        nats = poem_nll(model.generator, ids[sure], told, IMPORTANCE_SAMPLES, source, masks[sure])
        total += float(nats.sum())
        chars += nats.numel() * form.num_chars
    return total / chars if chars else float("nan")
