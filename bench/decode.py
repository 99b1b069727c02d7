"""How near is decoding to what this machine can do, and how far from what is usually done?

    python -m bench.decode [--threads N]

One run measures the peaks of the machine at the weights' own sizes, the least time that a decode's matrix products
can take by them, our decoder at batches of 1, 16 and 128, and two loops that write one poem after another: a plain
one with the same model, and one of the kind that public LSTM poets come with (a layer a character, the whole poem
read again for each next one, no masks). Returns and prints figures; ratios within one run are what to believe.
"""

import argparse
import json
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench.shipped import shipped_poet
from poetgen import packing
from poetgen.generator import Conditions, Generator
from poetgen.peaks import Peaks, best_seconds
from poetgen.poem import DEFAULT_FORM, FORMS, PoemRequest
from poetgen.poet import Poet, constraints_of, drafter_of
from poetgen.sampling import sample
from poetgen.vocabulary import START_ID

BATCHES = (1, 16, 128)
_BYTES = 4
_ALONE = 4  # poems that a loop writes to be measured


def measure(poet: Poet) -> dict[str, float]:
    """Figures by name: seconds, ratios and poems a second, 七絕."""
    model, form = poet.model, DEFAULT_FORM
    generator, constraints = model.generator, constraints_of(model)
    drafter = drafter_of(model, constraints)
    request = poet.check(PoemRequest(form, theme="秋夜"))
    peaks = Peaks.measure(generator.products, max(BATCHES))
    figures = {"peak_gflops": peaks.flops / 1e9, "bandwidth_gb": peaks.bytes / 1e9}
    for batch in BATCHES:
        drafts = drafter.drafts([request] * batch, list(range(batch)))
        seconds = best_seconds(lambda drafts=drafts: sample(generator, constraints, drafts), 5)  # type: ignore[misc]
        least = form.num_chars * peaks.least_seconds(generator.products, batch, _BYTES)
        figures |= {f"seconds_{batch}": seconds, f"bound_{batch}": least, f"times_bound_{batch}": seconds / least}
    for name, one in FORMS.items():
        asked = [poet.check(PoemRequest(one, theme="秋夜"))]
        figures[f"request_seconds_{name}"] = best_seconds(lambda asked=asked: poet.compose(asked), 5)  # type: ignore[misc]
    ours = max(BATCHES) / figures[f"seconds_{max(BATCHES)}"]
    figures["poems_a_second"] = ours
    allowed, config = constraints.tones[0], generator.config
    lstm = nn.LSTM(config.embedding_dim, config.hidden_dim, batch_first=True)  # of our generator's sizes
    output = nn.Linear(config.hidden_dim, config.num_chars)
    loops: dict[str, Callable[[], object]] = {
        "plain": lambda: [_plain(generator, allowed) for _ in range(_ALONE)],
        "public": lambda: [_public(generator, lstm, output) for _ in range(_ALONE)],
    }
    for name, loop in loops.items():
        with packing.switched_off():
            figures[f"{name}_poems_a_second"] = _ALONE / best_seconds(loop, 2)
        figures[f"times_{name}"] = ours / figures[f"{name}_poems_a_second"]
    return figures


@torch.no_grad()
def _plain(generator: Generator, allowed: Tensor) -> list[int]:
    """One poem by the same model as one would first write it: a step a character, softmax, a draw."""
    form = DEFAULT_FORM
    noise = torch.randn(1, generator.config.noise_dim)
    context = generator.context(Conditions.none(form, 1), noise)
    state = generator.start(noise, form)
    ids: list[int] = []
    length = form.line_lengths[0]
    for place in range(form.num_chars):
        before = ids[-1] if ids else START_ID
        above = ids[place - length] if place >= length else START_ID
        read = generator.embedding(torch.tensor([before, above])).view(1, -1)
        inputs = torch.cat([read, context[:, place // length, place % length]], dim=1)
        logits = generator.logits(generator.narrowed(generator.step(inputs, state))).masked_fill(~allowed, -torch.inf)
        ids.append(int(torch.multinomial(torch.softmax(logits, dim=-1), 1)))
    return ids


@torch.no_grad()
def _public(generator: Generator, lstm: nn.LSTM, output: nn.Linear) -> list[int]:
    """One poem as public LSTM poets write it: all is read anew each time."""
    ids = [START_ID]
    for _ in range(DEFAULT_FORM.num_chars):
        states, _ = lstm(generator.embedding(torch.tensor([ids])))
        ids.append(int(torch.multinomial(torch.softmax(output(states[:, -1]), dim=-1), 1)))
    return ids


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="bench.decode", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--threads", type=int, default=2, help="threads that compute")
    poet = shipped_poet(parser.parse_args().threads)
    print(json.dumps({name: round(value, 4) for name, value in measure(poet).items()}, indent=1))


if __name__ == "__main__":
    main()
