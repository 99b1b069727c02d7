"""The discriminator as a poet uses it."""

import pytest
import torch

from poetgen.poem import FORMS
from poetgen.poet import Poet


@torch.no_grad()
@pytest.mark.parametrize("poems", [1, 7, 8, 9, 40])
def test_judges_in_numbers_that_are_always_the_same(poet: Poet, poems: int) -> None:
    """A new number of poems costs memory for good."""
    model, form = poet.model, FORMS["qilv"]
    ids = torch.randint(3, len(model.vocabulary), (poems, form.num_chars))
    themes = torch.randint(0, len(model.vocabulary), (poems, 4))
    met: set[int] = set()
    hooks = [
        layer.register_forward_hook(lambda _, inputs, __: met.add(len(inputs[0])))
        for layer in model.discriminator.convolutions
    ]
    try:
        judged = model.discriminator.judge(ids, form, themes)
    finally:
        for hook in hooks:
            hook.remove()
    assert met == {8}
    torch.testing.assert_close(judged, model.discriminator(ids, form, themes))
