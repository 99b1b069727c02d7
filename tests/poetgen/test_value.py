import torch

from poetgen.value import ValueHead


def places(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    return (
        torch.randn(rows, 32, generator=source),
        torch.randn(rows, 16, generator=source),
        torch.randn(rows, generator=source),
    )


def test_a_weighted_head_says_the_weighted_sum() -> None:
    torch.manual_seed(0)
    head = ValueHead(32, 16, 8, num_outputs=3).eval()
    shares = torch.tensor([0.5, 0.3, 0.2])
    last = torch.tensor([False, True] * 5)
    with torch.no_grad():
        several = head(*places(10, 1), last)
        one = head.weighted(shares)(*places(10, 1), last)
    assert several.shape == (10, 3)
    assert torch.allclose(one[:, 0], several @ shares, atol=1e-5)


def test_what_it_says_hangs_on_every_input_and_on_no_other_row() -> None:
    torch.manual_seed(0)
    head = ValueHead(32, 16, 8).eval()
    inputs = places(9, 2)
    with torch.no_grad():
        said = head(*inputs, False)
        for number in range(3):
            changed = [values.clone() for values in inputs]
            changed[number][4] += 1
            differs = (head(*changed, False) != said)[:, 0]
            assert differs.tolist() == [row == 4 for row in range(9)]
        assert (head(*inputs, True) != said).all()
        assert torch.equal(head(*[values[2:5] for values in inputs], False), said[2:5])


def test_it_says_the_same_of_many_characters_at_a_place_as_of_each() -> None:
    torch.manual_seed(0)
    head = ValueHead(32, 16, 8, num_outputs=2).eval()
    states, embedding = torch.randn(5, 32), torch.randn(40, 16)
    chars, log_probs = torch.randint(0, 40, (5, 7)), -torch.rand(5, 7)
    with torch.no_grad():
        for last in (False, True):
            each = head.of_each(states, head.table(embedding), chars, log_probs, last)
            one = head(states[:, None].expand(-1, 7, -1), embedding[chars], log_probs, last)
            assert torch.allclose(each, one, atol=1e-5)
            alone = head.of_each(states[3:], head.table(embedding), chars[3:], log_probs[3:], last)
            assert torch.equal(alone, each[3:])
