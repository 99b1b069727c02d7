"""The discriminator as a poet uses it."""

from copy import deepcopy

import pytest
import torch

from poetgen.discriminator import character_table
from poetgen.poem import FORMS
from poetgen.poet import Poet
from poetgen.training.taste import bags


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


@torch.no_grad()
def test_a_longer_theme_beside_it_changes_no_verdict(poet: Poet) -> None:
    model, form = poet.model, FORMS["wujue"]
    ids = torch.randint(3, len(model.vocabulary), (2, form.num_chars), generator=torch.Generator().manual_seed(0))
    alone = model.discriminator(ids[:1], form, torch.tensor([[7]]))
    together = model.discriminator(ids, form, torch.tensor([[7, 0, 0], [8, 9, 10]]))
    torch.testing.assert_close(together[:1], alone)
    told = model.discriminator(ids[:1], form, torch.tensor([[8]]))
    assert not torch.allclose(told, alone), "the theme counts"


@torch.no_grad()
def test_every_line_and_place_of_a_poem_is_told_apart(poet: Poet) -> None:
    discriminator, form = deepcopy(poet.model.discriminator), FORMS["wujue"]
    ids, themes = torch.arange(3, 23)[None], torch.zeros(1, 1, dtype=torch.long)
    before = discriminator(ids, form, themes)
    for rows, used in ((discriminator.line_embedding, 4), (discriminator.position_embedding, 5)):
        for number, row in enumerate(rows):
            row += 1
            assert torch.equal(discriminator(ids, form, themes), before) == (number >= used)
            row -= 1
            before = discriminator(ids, form, themes)


def test_liking_is_what_the_taste_was_learned_for(poet: Poet) -> None:
    discriminator, form = deepcopy(poet.model.discriminator), FORMS["wujue"]
    source = torch.Generator().manual_seed(0)
    discriminator.taste.normal_(generator=source)
    ids = torch.randint(3, len(poet.model.vocabulary), (4, form.num_chars), generator=source)
    expected = bags(list(ids), len(poet.model.vocabulary)) @ discriminator.taste
    torch.testing.assert_close(discriminator.liking(ids), expected)
    themes = torch.zeros(4, 1, dtype=torch.long)
    with torch.no_grad():
        change = discriminator(ids, form, themes) - poet.model.discriminator(ids, form, themes)
    torch.testing.assert_close(change, expected)


def test_what_is_told_of_characters_spreads_as_they_are_used() -> None:
    source = torch.Generator().manual_seed(0)
    table = character_table(torch.randn(50, 6, generator=source), torch.randn(50, 4, generator=source))
    shares = 1 / torch.arange(4, 51)
    shares /= shares.sum()
    assert not table[:3].any(), "nothing is told of what is no character"
    known = table[3:]
    torch.testing.assert_close(known[:, :6].norm(dim=1), torch.ones(47))
    for part in (known[:, 6:10], known[:, 10:]):
        torch.testing.assert_close(shares @ part, torch.zeros(part.shape[1]), atol=1e-5, rtol=0)
    assert float(shares @ known[:, 10].square()) == pytest.approx(0.5**2)
    steps = known[1:, 10] - known[:-1, 10]
    ratio = steps / (torch.arange(5, 51).log() - torch.arange(4, 50).log())
    torch.testing.assert_close(ratio, ratio[0].expand(46), rtol=1e-3, atol=1e-3)
