"""Tone and rhyme group of every character, learned from the corpus alone.

Knows no pronunciation table, no torch and no form's patterns but the few facts below.

Tone. In a regulated poem positions 2, 4, 6 of a line alternate between level and oblique, the lines of a couplet
oppose each other, couplets adhere, even lines end level and the odd ones (but for the first) oblique. So one bit
fixes the tone at all those places, and expectation-maximisation over that bit and over every character's share of
level readings finds both. Then each character's readings are counted in the poems that keep the metre in every
other place, so that a poem's own slips do not look like second readings.

Rhyme. The even lines of such a poem end in one rhyme group. From a few well-known members of each of the 30 level
groups of the 平水韻 labels spread over the graph of characters that rhyme with one another: each poem sends each of
its rhyme characters what the others say of the group (belief propagation, a message never returns to its sender).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from poetgen.poem import Poem

Tone = Literal["level", "oblique"]

# Three or four well-known members of each level rhyme group: the only knowledge of sound that enters.
RHYME_SEEDS: Mapping[str, str] = {
    "東": "東風中空", "冬": "冬鐘龍松", "江": "江窗雙邦", "支": "枝時知詩", "微": "微飛歸衣", "魚": "魚書居餘",
    "虞": "無湖夫珠", "齊": "西低啼溪", "佳": "佳街鞋懷", "灰": "來開臺梅", "真": "人春新塵", "文": "雲文君聞",
    "元": "門村園言", "寒": "寒安難端", "刪": "山還關顏", "先": "天年前先", "蕭": "遙橋朝蕭", "肴": "交巢郊茅",
    "豪": "豪高毛濤", "歌": "歌多何河", "麻": "花家霞斜", "陽": "陽長香霜", "庚": "庚生聲明", "青": "青亭星庭",
    "蒸": "蒸冰燈僧", "尤": "秋流愁樓", "侵": "心深林吟", "覃": "南潭含堪", "鹽": "鹽簾尖甜", "咸": "咸巖帆銜",
}  # fmt: skip
RHYME_GROUPS: tuple[str, ...] = tuple(RHYME_SEEDS)

_TONE_NOISE = 0.02  # chance that a regulated poem breaks its metre in one place, as EM starts
_TONE_PRIOR = 0.1  # pseudo-observations, for characters never seen where the count is strict
_TONE_ROUNDS = 12
_RHYME_ROUNDS = 15
_RHYME_NOISE = 0.01  # chance that a poem's rhyme character stands outside its group

# When a reading may be relied on where the form constrains. No table is read, but a dictionary was looked at when these
# were chosen (docs/phonology.md says how far). A reading is sure
# if it is nearly all there is, on little evidence, or if much evidence shows it beside another.
_TONE_ALONE = (0.5, 4.0)  # share of the observations, and how many
_TONE_BESIDE = (0.08, 12.0)  # below it is slips and misprints
_RHYME_ALONE = (0.75, 4.0)  # poets borrow from neighbouring groups: less than three quarters is a habit of theirs
_RHYME_BESIDE = (0.4, 300.0)
# Poets and the rhyme books disagree on these: a reader with a book would call our use a fault, one with an ear our
# avoiding it. They stand only where the form leaves them free.
_DISPUTED = "忘漫拚粗探涯"


@dataclass(frozen=True, slots=True)
class Reading:
    """One way a character sounded.

    Attributes:
        tone: Level (平) or oblique (仄).
        rhyme: The 平水韻 group of a level reading, None if it never rhymed or is oblique.
        share: How much of the character's use has this reading, 0 to 1.
        sure: Whether it may stand where the form constrains.
    """

    tone: Tone
    rhyme: str | None
    share: float
    sure: bool


class Phonology:
    """Readings of every character of the corpus.

    Args:
        chars: The characters, C of them.
        tone_counts: [C, 2] observations as level and as oblique, in otherwise regular poems.
        rhyme_counts: [C, 30] how often it rhymed with each group, by the labels of its rhyme companions.
    """

    def __init__(self, chars: str, tone_counts: npt.NDArray[np.float32], rhyme_counts: npt.NDArray[np.float32]) -> None:
        if tone_counts.shape != (len(chars), 2) or rhyme_counts.shape != (len(chars), len(RHYME_GROUPS)):
            raise ValueError("phonology: counts do not match the characters")
        self.chars = chars
        self.tone_counts = tone_counts
        self.rhyme_counts = rhyme_counts
        self._index = {char: index for index, char in enumerate(chars)}
        self._possible_tones: dict[str, str] = {}
        self._tone_shares = _shares(tone_counts)
        self._rhyme_shares = _shares(rhyme_counts)
        self._sure_tones = _sure(tone_counts, self._tone_shares, _TONE_ALONE, _TONE_BESIDE)
        self._sure_tones[[self._index[char] for char in _DISPUTED if char in self._index]] = False
        # Only level readings rhyme here, so an unsure level tone leaves no sure rhyme.
        self._sure_rhymes = (
            _sure(rhyme_counts, self._rhyme_shares, _RHYME_ALONE, _RHYME_BESIDE) & self._sure_tones[:, :1]
        )

    def __contains__(self, char: str) -> bool:
        return char in self._index

    def level_share(self, char: str) -> float:
        """Share of the character's use that is level, 0 to 1; 0.5 for an unknown character."""
        index = self._index.get(char)
        return 0.5 if index is None else float(self._tone_shares[index, 0])

    def tone(self, char: str) -> Tone | None:
        """The likelier tone, None for an unknown character."""
        if char not in self._index:
            return None
        return "level" if self.level_share(char) >= 0.5 else "oblique"

    def possible_tones(self, char: str) -> str:
        """The tones a character may be heard in, as letters: "L", "O", or "LO" (also for an unknown character)."""
        known = self._possible_tones.get(char)
        if known is None:
            likelier = self.tone(char)
            tones = self.sure_tones(char) | ({likelier} if likelier else {"level", "oblique"})
            known = "".join(letter for letter, tone in (("L", "level"), ("O", "oblique")) if tone in tones)
            self._possible_tones[char] = known
        return known

    def sure_tones(self, char: str) -> frozenset[Tone]:
        """The tones in which the character may stand where the form constrains."""
        index = self._index.get(char)
        if index is None:
            return frozenset()
        tones: tuple[Tone, Tone] = ("level", "oblique")
        return frozenset(tone for tone, sure in zip(tones, self._sure_tones[index], strict=True) if sure)

    def sure_rhymes(self, char: str) -> tuple[str, ...]:
        """The rhyme groups in which the character may rhyme, the commonest first."""
        index = self._index.get(char)
        if index is None:
            return ()
        groups = np.flatnonzero(self._sure_rhymes[index])
        return tuple(
            RHYME_GROUPS[group] for group in sorted(groups, key=lambda group: -self.rhyme_counts[index, group])
        )

    def rhyme(self, char: str) -> str | None:
        """The likeliest rhyme group, sure or not; None where nothing is known of it as a level rhyme."""
        index = self._index.get(char)
        if index is None or self._rhyme_shares[index].sum() == 0:
            return None
        if self._tone_shares[index, 0] < 0.5 and not self._sure_rhymes[index].any():
            return None
        return RHYME_GROUPS[int(self.rhyme_counts[index].argmax())]

    def readings(self, char: str) -> tuple[Reading, ...]:
        """What the corpus shows of the character, the likeliest reading first; empty for an unknown one."""
        index = self._index.get(char)
        if index is None:
            return ()
        level, oblique = (float(share) for share in self._tone_shares[index])
        sure_level, sure_oblique = (bool(sure) for sure in self._sure_tones[index])
        found: list[Reading] = []
        groups = [group for group in range(len(RHYME_GROUPS)) if self._sure_rhymes[index, group]]
        best = int(self.rhyme_counts[index].argmax())
        if not groups and self.rhyme_counts[index, best] > 0:
            groups = [best]
        total = sum(float(self.rhyme_counts[index, group]) for group in groups)
        if sure_level or level >= 0.5:
            found += [
                Reading(
                    "level",
                    RHYME_GROUPS[group],
                    level * float(self.rhyme_counts[index, group]) / total,
                    bool(self._sure_rhymes[index, group]),
                )
                for group in groups
            ] or [Reading("level", None, level, sure_level)]
        if sure_oblique or level < 0.5:
            found.append(Reading("oblique", None, oblique, sure_oblique))
        return tuple(sorted(found, key=lambda reading: -reading.share))

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """The counts, small enough to store beside a model (half precision keeps three digits).

        A character rhymes with one or two groups of thirty, so of those counts only what is not zero is stored.
        """
        limit = np.float32(60000)
        places = np.stack(np.nonzero(self.rhyme_counts), axis=1)
        counts = self.rhyme_counts[tuple(places.T)]
        return {
            "tone_counts": np.minimum(self.tone_counts, limit).astype(np.float16),
            "rhyme_places": places.astype(np.int16),
            "rhyme_counts": np.minimum(counts, limit).astype(np.float16),
        }

    @classmethod
    def from_arrays(cls, chars: str, arrays: Mapping[str, npt.NDArray[np.generic]]) -> "Phonology":
        """What `arrays` stored.

        Raises:
            ValueError: The arrays do not fit the characters.
            KeyError: An array is missing.
        """
        counts = arrays["rhyme_counts"].astype(np.float32)
        if counts.ndim == 1:  # of earlier versions it is the whole table
            stored, places = counts, arrays["rhyme_places"].astype(np.int64)
            counts = np.zeros((len(chars), len(RHYME_GROUPS)), np.float32)
            if places.shape != (len(stored), 2) or (places < 0).any() or (places >= counts.shape).any():
                raise ValueError("the rhymes are not those of the characters")
            counts[tuple(places.T)] = stored
        return cls(chars, arrays["tone_counts"].astype(np.float32), counts)


def _shares(counts: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    total = counts.sum(axis=1, keepdims=True)
    shares: npt.NDArray[np.float32] = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    return shares


def _sure(
    counts: npt.NDArray[np.float32],
    shares: npt.NDArray[np.float32],
    alone: tuple[float, float],
    beside: tuple[float, float],
) -> npt.NDArray[np.bool_]:
    """[C, K] which readings are well enough attested; `alone` and `beside` are (least share, least count)."""
    commonest = shares == shares.max(axis=1, keepdims=True)
    by_itself = commonest & (shares >= alone[0]) & (counts >= alone[1])
    sure: npt.NDArray[np.bool_] = by_itself | ((shares >= beside[0]) & (counts >= beside[1]))
    return sure


def learn_phonology(poems: Sequence[Poem]) -> Phonology:
    """The tone and rhyme group of every character, from poems of even line lengths 5 or 7 (any number of couplets)."""
    chars = "".join(sorted({char for poem in poems for char in poem.text}))
    index = {char: number for number, char in enumerate(chars)}
    grids = _grids(poems, index)
    level = _learn_level_shares(grids, len(chars))
    tone_counts = np.float32(_TONE_PRIOR) * np.stack([level, 1 - level], axis=1)
    rhymes: list[npt.NDArray[np.int32]] = []
    for grid in grids:
        tone_counts += _count_tones(grid, level)
        ends = grid[:, 1::2, -1]
        # Old-style verse rhymes too; only the metre is not to be trusted there, so the ends need only be level.
        rhymes.append(ends[(level[ends] > 0.05).all(axis=1)])
    return Phonology(chars, tone_counts, _learn_rhymes(rhymes, index))


def _grids(poems: Sequence[Poem], index: Mapping[str, int]) -> list[npt.NDArray[np.int32]]:
    """One [poems, lines, positions] array of character numbers for each shape of poem."""
    by_shape: dict[tuple[int, int], list[list[int]]] = {}
    for poem in poems:
        length = len(poem.lines[0])
        if length in (5, 7) and len(poem.lines) % 2 == 0 and all(len(line) == length for line in poem.lines):
            by_shape.setdefault((len(poem.lines), length), []).append([index[char] for char in poem.text])
    return [np.array(rows, np.int32).reshape(-1, *shape) for shape, rows in sorted(by_shape.items())]


def _expected_level(num_lines: int, length: int) -> npt.NDArray[np.float32]:
    """[2 starts, 2 first-line kinds, lines, positions]: 1 level, 0 oblique, NaN where metre leaves it free."""
    expected = np.full((2, 2, num_lines, length), np.nan, np.float32)
    for start in range(2):
        for line in range(num_lines):
            # Opposed within a couplet, adhering between couplets: starts run s, not s, not s, s, s, not s, ...
            flipped = line % 4 in (1, 2)
            for turn, position in enumerate(range(1, length - 1, 2)):
                expected[start, :, line, position] = start ^ flipped ^ (turn % 2)
            if line % 2 == 1:
                expected[start, :, line, -1] = 1
            elif line > 0:
                expected[start, :, line, -1] = 0
            else:
                expected[start, :, line, -1] = (0, 1)
    return expected


def _template_log_odds(
    grid: npt.NDArray[np.int32], level: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """[poems, 4] log likelihood of each template (metre with rare slips) against no metre at all."""
    share = level[grid].reshape(len(grid), -1)
    templates = expected.reshape(4, -1)
    scores = np.empty((len(grid), 4), np.float32)
    for number, template in enumerate(templates):
        fixed = ~np.isnan(template)
        agreement = np.where(template[fixed] == 1, share[:, fixed], 1 - share[:, fixed])
        scores[:, number] = np.log(2 * ((1 - _TONE_NOISE) * agreement + _TONE_NOISE * (1 - agreement))).sum(axis=1)
    return scores


def _learn_level_shares(grids: Sequence[npt.NDArray[np.int32]], num_chars: int) -> npt.NDArray[np.float32]:
    """[C] share of level use, by EM; line ends break the symmetry between the two tones."""
    counts = np.full((num_chars, 2), 0.5)
    for grid in grids:
        np.add.at(counts[:, 0], grid[:, 1::2, -1].ravel(), 1)
        np.add.at(counts[:, 1], grid[:, 2::2, -1].ravel(), 1)
    level: npt.NDArray[np.float32] = (counts[:, 0] / counts.sum(axis=1)).astype(np.float32)
    for _ in range(_TONE_ROUNDS):
        counts = np.full((num_chars, 2), 0.1)
        for grid in grids:
            expected = _expected_level(*grid.shape[1:])
            scores = np.concatenate(
                [_template_log_odds(grid, level, expected), np.full((len(grid), 1), np.log(4.0), np.float32)], axis=1
            )
            scores -= scores.max(axis=1, keepdims=True)
            weights = np.exp(scores)
            weights = (weights / weights.sum(axis=1, keepdims=True))[:, :4]
            templates = expected.reshape(4, -1)
            flat = grid.reshape(len(grid), -1)
            for position in np.flatnonzero(~np.isnan(templates).all(axis=0)):
                fixed = ~np.isnan(templates[:, position])
                as_level = weights[:, fixed] @ templates[fixed, position]
                as_oblique = weights[:, fixed].sum(axis=1) - as_level
                ids = flat[:, position]
                prior = level[ids]
                slip = _TONE_NOISE
                # Posterior that the token is level, under a metre that says level (or oblique) but slips at times.
                if_level = (1 - slip) * prior / ((1 - slip) * prior + slip * (1 - prior))
                if_oblique = slip * prior / (slip * prior + (1 - slip) * (1 - prior))
                counts[:, 0] += np.bincount(ids, as_level * if_level + as_oblique * if_oblique, num_chars)
                counts[:, 1] += np.bincount(ids, as_level * (1 - if_level) + as_oblique * (1 - if_oblique), num_chars)
        level = (counts[:, 0] / counts.sum(axis=1)).astype(np.float32).clip(0.001, 0.999)
    return level


def _count_tones(grid: npt.NDArray[np.int32], level: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """[C, 2] tones seen in poems that keep the metre everywhere else."""
    expected = _expected_level(*grid.shape[1:]).reshape(4, -1)
    best = expected[_template_log_odds(grid, level, expected).argmax(axis=1)]
    fixed = ~np.isnan(best)
    # ○○●● may be sung ○●○● (特拗): what stands last but one there is no evidence.
    lines = best.reshape(grid.shape)
    fixed.reshape(grid.shape)[..., -2] &= (lines[..., -1] == 1) | (lines[..., -2] == 1)
    flat = grid.reshape(len(grid), -1)
    breaks = fixed & (np.abs(best - level[flat]) > 0.95)
    num_breaks = breaks.sum(axis=1, keepdims=True)
    counted = fixed & (num_breaks - breaks == 0)
    counts = np.zeros((len(level), 2), np.float32)
    for column, wanted in enumerate((1, 0)):
        counts[:, column] = np.bincount(flat[counted & (best == wanted)], minlength=len(level))
    return counts


def _learn_rhymes(poems: Sequence[npt.NDArray[np.int32]], index: Mapping[str, int]) -> npt.NDArray[np.float32]:
    """[C, 30] how often each character rhymed with each group; `poems` are [poems, rhymes] character numbers."""
    num_groups = len(RHYME_GROUPS)
    seeds = np.zeros((len(index), num_groups), np.float32)
    for group, members in enumerate(RHYME_SEEDS.values()):
        for char in members:
            if char in index:
                seeds[index[char], group] = 1
    is_seed = seeds.max(axis=1, keepdims=True) > 0
    shares = np.where(is_seed, seeds, 1 / num_groups)
    counts = np.zeros_like(seeds)
    for _ in range(_RHYME_ROUNDS):
        log_shares = np.log((1 - _RHYME_NOISE) * shares + _RHYME_NOISE / num_groups)
        counts = np.zeros_like(seeds)
        for rhymes in poems:
            beliefs = log_shares[rhymes]  # [poems, rhymes, groups]
            messages = beliefs.sum(axis=1, keepdims=True) - beliefs
            messages = np.exp(messages - messages.max(axis=2, keepdims=True))
            messages /= messages.sum(axis=2, keepdims=True)
            # Companions that know nothing yet say nothing.
            messages -= 1 / num_groups
            np.maximum(messages, 0, out=messages)
            flat = rhymes.ravel()
            for group in range(num_groups):
                counts[:, group] += np.bincount(flat, messages[:, :, group].ravel(), len(index))
        learned = counts + 1e-3
        learned /= learned.sum(axis=1, keepdims=True)
        shares = np.where(is_seed, 0.5 * seeds + 0.5 * learned, learned).astype(np.float32)
    return counts.astype(np.float32)
