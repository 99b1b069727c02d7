"""The shipped release: small, whole, offline, and described by the figures that the README shows."""

import re
from pathlib import Path

import pytest
import torch

from poetgen import prosody
from poetgen.metrics import auc
from poetgen.poem import DEFAULT_FORM, FORMS, PoemRequest
from poetgen.poet import Poet, constraints_of, drafter_of
from poetgen.record import load_phonology, load_record
from poetgen.sampling import sample
from poetgen.text import parse_poem

ROOT = Path(__file__).parents[2]
RELEASE = ROOT / "poetgen" / "release"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Poet:
    return Poet.load(tmp_path_factory.mktemp("empty-home"), num_threads=2)


def test_it_is_small_enough_to_ship() -> None:
    assert sum(path.stat().st_size for path in RELEASE.iterdir()) <= 16 * 2**20


def test_an_empty_home_uses_it(shipped: Poet) -> None:
    assert shipped.version == load_record(RELEASE)["version"]


@pytest.mark.parametrize("form", FORMS)
def test_its_poems_keep_every_rule_and_differ(shipped: Poet, form: str) -> None:
    asked = shipped.check(PoemRequest(FORMS[form], theme="秋夜", candidates=1))
    poems = shipped.compose([asked] * 50)
    assert [item.problems for item in poems] == [()] * 50
    assert len({item.poem.lines for item in poems}) == 50


@pytest.mark.parametrize(
    "typed",
    ["秋夜", "春江", "边塞", "邊塞", "梅花", "送别", "山居", "中秋", "怀古", "雪", "思乡", "酒", "月", "荷花", "江南"],
)
def test_common_themes_are_known_in_either_script(shipped: Poet, typed: str) -> None:
    assert shipped.check(PoemRequest(theme=typed)).theme


def test_poems_by_people_are_likelier_than_nonsense_and_more_real_than_its_own(shipped: Poet) -> None:
    poems = [
        parse_poem(text)
        for text in (
            "朝辭白帝彩雲間，千里江陵一日還。兩岸猿聲啼不住，輕舟已過萬重山。",
            "月落烏啼霜滿天，江楓漁火對愁眠。姑蘇城外寒山寺，夜半鐘聲到客船。",
            "國破山河在，城春草木深。感時花濺淚，恨別鳥驚心。烽火連三月，家書抵萬金。白頭搔更短，渾欲不勝簪。",
        )
    ]
    backwards = [parse_poem("\n".join(line[::-1] for line in poem.lines)) for poem in poems]
    people = shipped.score(poems)
    for (nll, _), (worse, _) in zip(people, shipped.score(backwards), strict=True):
        assert nll < worse - 0.5
    ours = shipped.compose([PoemRequest(poem.form or DEFAULT_FORM, seed=seed) for poem in poems for seed in range(10)])
    assert auc([realness for _, realness in people], [item.realness for item in ours]) > 0.6


def test_famous_poems_typed_in_simplified_characters_are_in_order() -> None:
    phonology = load_phonology(RELEASE)
    text = (
        "无题 李商隐\n相见时难别亦难，东风无力百花残。春蚕到死丝方尽，蜡炬成灰泪始干。"
        "晓镜但愁云鬓改，夜吟应觉月光寒。蓬山此去无多路，青鸟殷勤为探看。"
    )
    typed = parse_poem(text)
    assert not prosody.check(typed, phonology).passed, "a dictionary takes 干 for 幹"
    meant = prosody.restored(typed, text, phonology)
    assert meant.lines[3] == "蠟炬成灰淚始乾"
    assert prosody.check(meant, phonology).passed
    assert prosody.restored(typed, "，".join(typed.lines), phonology) == typed, "who typed 幹 meant it"


def test_the_readme_shows_its_figures() -> None:
    record = load_record(RELEASE)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    figures = record["figures"]["nats_per_char"]
    assert record["version"] in readme
    for name in ("unigram", "bigram", "trigram", "generator"):
        assert re.search(rf"\| \**{figures[name]:.2f}\**", readme), name


def test_twenty_samples_are_of_this_release_and_regulated(shipped: Poet) -> None:
    page = (ROOT / "docs" / "samples.md").read_text(encoding="utf-8")
    shown: list[tuple[PoemRequest, str]] = []
    for section in page.split("\n## ")[1:]:
        form = FORMS[section.split("\n", 1)[0]]
        samples = re.findall(r"^\*\*(.+?)\*\* .* seed (\d+)( · no theme)?\n\n((?:.+\n?)+)", section, re.MULTILINE)
        for theme, seed, unthemed, text in samples:
            request = PoemRequest(form, theme="" if unthemed else theme, seed=int(seed))
            shown.append((request, "".join(re.findall(r"[\u4e00-\u9fff]", text))))
    assert len(shown) == 20
    for request, text in shown:
        (written,) = shipped.compose([shipped.check(request)])
        assert written.poem.text == text
        assert not written.problems


def test_a_draft_is_bit_for_bit_the_same_alone_and_among_others(shipped: Poet) -> None:
    torch.set_num_threads(1)  # so small, two threads wait for each other more than they compute
    model, constraints = shipped.model, constraints_of(shipped.model)
    asked = [PoemRequest(FORMS["wujue"], theme=theme) for theme in ("春江", "送別友人歸故鄉", "月", "")] * 4
    drafts = drafter_of(model, constraints).drafts(asked, range(16))
    whole = sample(model.generator, constraints, drafts, value_head=model.value_head)
    for row, draft in enumerate(drafts):
        alone = sample(model.generator, constraints, [draft], value_head=model.value_head)
        assert torch.equal(alone.ids[0], whole.ids[row])
        assert torch.equal(alone.log_probs[0], whole.log_probs[row])
