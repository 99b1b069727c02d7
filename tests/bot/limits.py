"""Discord's limits, as its documentation has them: what the simulated Discord lets pass, this does not."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_NAME = re.compile(r"[-_'\w]{1,32}")  # \w: letters and digits of any script


def violations(body: Any) -> list[str]:
    """What of a message, an interaction's answer or a list of commands is beyond the limits."""
    if isinstance(body, list):
        return [found for command in body for found in _command(command)]
    if isinstance(body, Mapping) and "data" in body and "type" in body:
        return violations(body["data"] or {})
    return list(_message(body)) if isinstance(body, Mapping) else []


def _message(body: Mapping[str, Any]) -> Iterator[str]:
    if len(body.get("content") or "") > 2000:
        yield "content over 2000"
    if "title" in body and len(body["title"]) > 45:
        yield "modal title over 45"
    if len(body.get("choices") or ()) > 25:
        yield "over 25 choices"
    for choice in body.get("choices") or ():
        if not 1 <= len(choice["name"]) <= 100 or len(str(choice["value"])) > 100:
            yield f"choice {choice}"
    if len(body.get("nonce") or "") > 25:
        yield "nonce over 25"
    for attachment in body.get("attachments") or ():
        if len(attachment.get("description") or "") > 1024:
            yield "alt text over 1024"
    mentions = body.get("allowed_mentions")
    if mentions is not None and mentions.get("parse"):
        yield "mentions are on"
    seen: set[str] = set()
    rows = body.get("components") or ()
    if len(rows) > 5:
        yield "over 5 rows"
    for row in rows:
        children = row.get("components") or ([row["component"]] if "component" in row else [])
        if len(children) > 5:
            yield "over 5 in a row"
        if "label" in row and len(row["label"]) > 45:
            yield "label over 45"
        if len(row.get("description") or "") > 100:
            yield "label's description over 100"
        for child in children:
            custom_id = child.get("custom_id", "")
            if not 1 <= len(custom_id) <= 100 or custom_id in seen:
                yield f"custom_id {custom_id!r}"
            seen.add(custom_id)
            if len(child.get("label") or "") > 80 or len(child.get("placeholder") or "") > 100:
                yield f"text on {custom_id}"


def _command(command: Mapping[str, Any]) -> Iterator[str]:
    names = [command["name"], *(command.get("name_localizations") or {}).values()]
    if command.get("type", 1) == 1:
        yield from (f"name {name!r}" for name in names if not _NAME.fullmatch(name) or name != name.lower())
        descriptions = [command["description"], *(command.get("description_localizations") or {}).values()]
        yield from (f"description {text!r}" for text in descriptions if not 1 <= len(text) <= 100)
        if _length(command) > 8000:
            yield f"{command['name']} over 8000 in all"
    yield from (f"name {name!r}" for name in names if not 1 <= len(name) <= 32)
    for option in command.get("options") or ():
        yield from _command(option | {"type": 1})
        for choice in option.get("choices") or ():
            for name in (choice["name"], *(choice.get("name_localizations") or {}).values()):
                if not 1 <= len(name) <= 100:
                    yield f"choice {name!r}"
    if len(command.get("options") or ()) > 25:
        yield "over 25 options"


def _length(command: Mapping[str, Any]) -> int:
    """All names, descriptions and values together, each in its longest language."""
    own = sum(
        max(map(len, (command.get(key, ""), *(command.get(f"{key}_localizations") or {}).values())))
        for key in ("name", "description")
    )
    choices = command.get("choices") or ()
    return (
        own
        + sum(_length(option) for option in command.get("options") or ())
        + sum(len(choice["name"]) + len(str(choice["value"])) for choice in choices)
    )
