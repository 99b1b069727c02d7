"""The texts: nothing missing, nothing unused, the same places in every language, nothing beyond Discord's limits."""

import re
import string
from pathlib import Path
from typing import Any

import pytest
from discord import app_commands

import bot
from bot.catalogue import COMMAND_LANGUAGES, DEFAULT_LANGUAGE, LANGUAGES, catalogue, language_of, refusal, text
from bot.client import PoetBot
from bot.cogs import add_all
from bot.errors import BusyError, Explanation, MistypedError, explain
from bot.poems import Poems
from bot.translator import CatalogueTranslator, dotted
from poetgen.errors import REQUEST_TEXTS, CheckpointError, RequestError
from poetgen.poem import FORMS, PoemRequest
from poetgen.prosody import PROBLEM_TEXTS
from tests.bot.limits import violations

SOURCE = "\n".join(
    path.read_text(encoding="utf-8") for path in sorted(Path(bot.__file__).parent.rglob("*.py"))
).replace("'", '"')
# Keys that the code puts together from parts.
_BUILT = (
    "pattern.",
    "form.",
    "choice.",
    "explain.",
    "state.",
    "stage.",
    "reason.",
    "figure.",
    "request.",
    "problem.",
    "option.",
    "command.",
)


def places(template: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(template)} - {None}


@pytest.mark.parametrize("language", [name for name in LANGUAGES if name != DEFAULT_LANGUAGE])
def test_languages_have_the_same_texts_with_the_same_places(language: str) -> None:
    english = dict(catalogue("en"))
    english |= {f"request.{code}": template for code, template in REQUEST_TEXTS.items()}
    english |= {f"problem.{kind}": template for kind, template in PROBLEM_TEXTS.items()}
    own = {key: value for key, value in catalogue(language).items() if not _is_name(key)}
    english = {key: value for key, value in english.items() if not _is_name(key)}
    assert own.keys() == english.keys()
    assert {key: places(value) for key, value in own.items()} == {key: places(value) for key, value in english.items()}


def _is_name(key: str) -> bool:
    return key.startswith("option.") or (key.startswith("command.") and key.endswith(".name"))


@pytest.mark.parametrize("language", COMMAND_LANGUAGES)
def test_every_command_has_its_name_in_every_language(language: str) -> None:
    descriptions = {key for key in catalogue("en") if key.startswith(("command.", "choice."))}
    own = set(catalogue(language))
    assert descriptions <= own
    assert {key.rpartition(".")[0] + ".name" for key in descriptions if key.endswith(".description")} <= own


def test_no_text_is_unused() -> None:
    unused = [key for key in catalogue("en") if not key.startswith(_BUILT) and not _is_used(key)]
    assert unused == []
    assert {key for key in catalogue("en") if key.startswith("form.")} == {f"form.{name}" for name in FORMS}
    assert {key for key in catalogue("en") if key.startswith("explain.")} == {f"explain.{k}" for k in PROBLEM_TEXTS}


def _is_used(key: str) -> bool:
    section, _, rest = key.partition(".")
    if section == "error":
        return f'"{rest}"' in SOURCE or f'"{key}"' in SOURCE
    return f'"{key}"' in SOURCE or (section == "button" and f'"{rest}"' in SOURCE)


def test_no_text_is_missing() -> None:
    used = set(re.findall(r'text\(\s*"([a-z_.]+)"', SOURCE))
    used |= {f"error.{key}" for key in re.findall(r'(?:Bot|Mistyped)Error\(\s*"([a-z_]+)"', SOURCE)}
    assert used - set(catalogue("en")) == set()
    assert len(used) > 100


async def test_commands_are_within_the_limits_and_described_by_the_catalogue(simcord_bot: PoetBot) -> None:
    await add_all(simcord_bot)
    translator = CatalogueTranslator()
    tree = simcord_bot.tree
    payloads = [await command.get_translated_payload(tree, translator) for command in tree.get_commands()]
    assert violations(payloads) == []
    names = {payload["name"] for payload in payloads}
    assert names == {
        "poem", "show", "check", "top", "daily", "finetune", "voice", "settings", "privacy", "help", "about",
        "Delete poem", "Report poem",
    }  # fmt: skip
    poem = next(payload for payload in payloads if payload["name"] == "poem")
    assert set(poem["name_localizations"]) == set(COMMAND_LANGUAGES)
    assert poem["integration_types"] == [0, 1]
    assert poem["contexts"] == [0, 1, 2]
    options = {option["name"]: option for option in poem["options"]}
    assert list(options) == ["form", "theme", "acrostic", "first_line", "rhyme", "seed", "script"]
    assert not any(option.get("required") for option in options.values())
    assert [choice["value"] for choice in options["form"]["choices"]] == ["wujue", "qijue", "wulv", "qilv"]
    assert options["theme"]["autocomplete"]
    assert options["rhyme"]["autocomplete"]
    for command in tree.walk_commands():
        _is_described(command)


def _is_described(command: Any) -> None:
    key = f"command.{dotted(command)}"
    assert command.description == text(f"{key}.description")
    if isinstance(command, app_commands.Command):
        for parameter in command.parameters:
            assert str(parameter.description) == text(f"{key}.{parameter.name}")


async def test_admin_commands_are_offered_to_admins_only(simcord_bot: PoetBot) -> None:
    await add_all(simcord_bot)
    tree = simcord_bot.tree
    guarded = {c.name for c in tree.get_commands() if c.to_dict(tree)["default_member_permissions"] == 0x20}
    assert guarded == {"daily", "finetune", "settings"}


def test_language_follows_the_locale() -> None:
    assert [language_of(locale) for locale in ("zh-CN", "zh-TW", "ja", "de", None)] == ["zh-CN", "zh-TW"] + ["en"] * 3


def test_known_errors_say_what_they_mean_and_others_do_not() -> None:
    assert "20 are the most" in explain(RequestError("theme_length", length=21, most=20)).text
    assert explain(RequestError("theme_length", length=21, most=20), "zh-CN").text == "题目有 21 个字，最多 20 个。"
    assert "in about 7 s" in explain(BusyError(7)).text
    unexpected = explain(KeyError("secret"))
    assert "secret" not in unexpected.text
    assert unexpected.error_id is not None
    assert unexpected.error_id in unexpected.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_only_the_operator_can_mend_is_told_to_nobody_else(
    language: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = CheckpointError("/home/yin/x is damaged.")
    told = explain(error, language)
    assert told.error_id is not None
    assert told.text == text("error.unexpected", language, error_id=told.error_id)
    assert f"error {told.error_id}" in caplog.text
    assert str(error) in caplog.text
    assert explain(error, language, operator=True) == Explanation(str(error))


@pytest.mark.parametrize("language", LANGUAGES)
def test_forms_are_called_by_name(language: str) -> None:
    said = refusal(RequestError("acrostic_length", length=5, form="wujue", lines=4), language)
    assert text("form.wujue", language) in said
    assert "wujue" not in said


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "“mooon”: did you mean moon?"), ("zh-CN", "“mooon”是否指 moon？"), ("zh-TW", "「mooon」是否指 moon？")],
)
async def test_nearest_themes_stand_instead_of_what_is_refused(poems: Poems, language: str, said: str) -> None:
    with pytest.raises(MistypedError) as refused:
        poems.checked(PoemRequest(theme="mooon"))
    assert explain(refused.value, language).text == said


@pytest.mark.parametrize("code", REQUEST_TEXTS)
def test_every_request_error_can_be_told_in_chinese(code: str) -> None:
    values = dict.fromkeys(filter(None, places(REQUEST_TEXTS[code])), "7")
    names = "、".join(f"{name}（{text(f'form.{name}', 'zh-TW')}）" for name in FORMS)
    told = values | ({"forms": names} if "forms" in values else {})
    assert refusal(RequestError(code, **values), "zh-TW") == text(f"request.{code}", "zh-TW", **told)
