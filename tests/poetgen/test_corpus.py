import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poetgen import corpus
from poetgen.corpus import SplitPoem, Summary
from poetgen.errors import CorpusError
from poetgen.poem import FORMS, Poem

MOON = ["床前明月光，疑是地上霜。", "舉頭望明月，低頭思故鄉。"]
HERON = ["兩箇黃鸝鳴翠柳，一行白鷺上青天。", "窗含西嶺千秋雪，門泊東吳萬里船。"]


def write(folder: Path, entries: object, name: str = "poet.tang.0.json") -> Path:
    (folder / "全唐诗").mkdir(exist_ok=True)
    (folder / "全唐诗" / name).write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    return folder


def entry(*paragraphs: str, title: str = "無題") -> dict[str, object]:
    return {"author": "某", "title": title, "paragraphs": list(paragraphs)}


def read(folder: Path, **options: bool) -> tuple[list[Poem], Summary]:
    summary = Summary()
    return list(corpus.read_corpus(folder, summary, quiet=True, **options)), summary


def test_reads_title_author_dynasty_and_form(tmp_path: Path) -> None:
    poems, _ = read(write(tmp_path, [entry(*HERON, title="絕句（四首之三）")]))
    assert poems == [
        Poem(
            ("兩箇黃鸝鳴翠柳", "一行白鷺上青天", "窗含西嶺千秋雪", "門泊東吳萬里船"),
            FORMS["qijue"],
            "絕句",
            "某",
            "唐",
        )
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("床前明月光，疑是地上□。舉頭望明月，低頭思故鄉。", "lacuna"),
        ("床前明月光，疑是地上霜。舉頭望明月。", "another form"),
        ("床前明月光，疑是地上ノ。舉頭望明月，低頭思故鄉。", "stray script"),
        ("床前明月光，疑是地上{雨相}。舉頭望明月，低頭思故鄉。", "broken brackets or composed character"),
        ("", "empty"),
    ],
)
def test_says_why_a_poem_is_dropped(tmp_path: Path, text: str, reason: str) -> None:
    poems, summary = read(write(tmp_path, [entry(text)]))
    assert poems == []
    assert summary.dropped == {reason: 1}


def test_editors_notes_are_cut_also_when_nested(tmp_path: Path) -> None:
    noted = "床前明月光（一作「看（平聲）月光」），疑是地上霜〔注〕。舉頭望明月，低頭思故鄉。"
    poems, _ = read(write(tmp_path, [entry(noted)]))
    assert poems[0].lines == ("床前明月光", "疑是地上霜", "舉頭望明月", "低頭思故鄉")


def test_a_poem_sharing_half_its_lines_is_dropped_and_less_is_kept() -> None:
    first = Poem(("甲", "乙", "丙", "丁"))
    half = Poem(("甲", "乙", "戊", "己"))
    quarter = Poem(("甲", "庚", "辛", "壬"))
    summary = Summary()
    assert corpus.without_duplicates([first, half, quarter], summary) == [first, quarter]
    assert summary.dropped.total() == 1


def long_poem(*starts: str) -> Poem:
    return Poem(tuple(f"{start}二三四五" for start in starts))


def test_longer_poems_are_cut_into_eights_and_a_last_four(tmp_path: Path) -> None:
    couplets = [
        f"{first}二三四五，{second}二三四五。" for first, second in zip("甲丙戊庚壬子寅", "乙丁己辛癸丑卯", strict=True)
    ]
    poems, summary = read(write(tmp_path, [entry(*couplets)]))
    assert [poem.form for poem in poems] == [None]
    assert summary.dropped.total() == 0
    cut = corpus.excerpts(poems, [])
    assert [poem.form for poem in cut] == [FORMS["wulv"], FORMS["wujue"]]
    assert "".join(line[0] for poem in cut for line in poem.lines) == "甲乙丙丁戊己庚辛壬癸子丑"


def test_an_excerpt_holds_no_validation_line_and_less_than_half_of_what_is_there() -> None:
    held_out = SplitPoem(long_poem(*"春夏秋冬"), validation=True)
    there = SplitPoem(long_poem(*"東西南北"), validation=False)
    longer = [
        long_poem(*"甲乙丙春戊己"),
        long_poem(*"東西丙丁戊己"),
        long_poem(*"東乙丙丁戊己"),
        long_poem(*"子乙丙丁戊己"),
    ]
    assert [poem.lines[0][0] for poem in corpus.excerpts(longer, [held_out, there])] == ["東"]


@given(st.lists(st.lists(st.sampled_from("甲乙丙丁戊己庚辛壬癸子丑寅卯"), min_size=2, max_size=3), max_size=30))
def test_poems_that_share_a_line_are_on_one_side(lines: list[list[str]]) -> None:
    items = corpus.split([Poem(tuple(poem)) for poem in lines])
    side: dict[str, bool] = {}
    for item in items:
        for line in item.poem.lines:
            assert side.setdefault(line, item.validation) == item.validation


def test_the_split_is_stable_and_of_the_wanted_size() -> None:
    poems = [Poem((f"{number}上", f"{number}下")) for number in range(5000)]
    first = {item.poem: item.validation for item in corpus.split(poems)}
    again = {item.poem: item.validation for item in corpus.split(poems[::-1])}
    assert first == again
    assert 0.03 < sum(first.values()) / len(poems) < 0.05


def test_a_missing_corpus_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="There is no corpus"):
        read(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match=r"holds no 全唐诗/poet\.tang"):
        read(tmp_path)


@pytest.mark.parametrize("text", ["[{", '{"a": 1}', '["poem"]'])
def test_a_broken_file_is_named_and_can_be_skipped(tmp_path: Path, text: str) -> None:
    write(tmp_path, [entry(*MOON)])
    broken = tmp_path / "全唐诗" / "poet.song.0.json"
    broken.write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError, match=r"poet\.song\.0\.json"):
        read(tmp_path)
    poems, summary = read(tmp_path, skip_bad=True)
    assert len(poems) == 1
    assert summary.bad_files == [str(broken)]


def test_malformed_entries_are_counted(tmp_path: Path) -> None:
    _, summary = read(write(tmp_path, [{"title": "x"}, {"paragraphs": "text"}, {"paragraphs": [1]}]))
    assert summary.dropped == {"malformed entry": 3}
