"""Imports point one way. Reads the source; imports nothing of ours."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Each module may import those of its own layer and of the layers above it in this table.
POETGEN_LAYERS = (
    {"errors", "allocator"},
    {"poem", "files", "classics", "seeds", "memory"},
    {"script", "vocabulary", "phonology"},
    {"text", "prosody", "corpus", "planner", "tails", "record", "metrics"},
    {"registry", "dataset"},
    {"packing", "dropout", "quantization"},  # torch starts here
    {"peaks"},
    {"generator", "discriminator", "prepare", "value"},
    {"sampling", "likelihood"},
    {"drafting"},
    {"checkpoint"},
    {"adapter"},
    {"poet"},
    {"training"},
    {"evaluation"},
    {"__main__"},
)
WITHOUT_TORCH = {name for layer in POETGEN_LAYERS[:5] for name in layer} | {"__main__", "prepare"}
BOT_MAY_USE = {"allocator", "poem", "errors", "registry", "prosody", "script", "text"}


def imports(path: Path, *, at_import_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if at_import_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def modules(package: str) -> dict[str, Path]:
    return {
        ".".join(path.relative_to(ROOT / package).with_suffix("").parts): path
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    }


def first_parts(names: set[str], package: str) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith(f"{package}.")}


def test_every_module_of_the_model_has_a_layer() -> None:
    known = {name for layer in POETGEN_LAYERS for name in layer}
    assert {name.split(".")[0] for name in modules("poetgen")} == known


def test_the_model_imports_only_downwards() -> None:
    level = {name: number for number, layer in enumerate(POETGEN_LAYERS) for name in layer}
    for name, path in modules("poetgen").items():
        own = name.split(".")[0]
        for used in first_parts(imports(path), "poetgen") & level.keys():
            assert level[used] <= level[own], f"{name} imports {used}"


def test_what_needs_no_torch_imports_none() -> None:
    for name, path in modules("poetgen").items():
        if name in WITHOUT_TORCH:
            used = imports(path, at_import_only=True)
            assert not any(item.split(".")[0] == "torch" for item in used), name
            assert first_parts(used, "poetgen") <= WITHOUT_TORCH, name


def test_the_model_knows_nothing_of_the_bot() -> None:
    for name, path in modules("poetgen").items():
        used = {item.split(".")[0] for item in imports(path)}
        assert not used & {"bot", "discord", "sqlalchemy", "aiosqlite"}, name


def test_the_bot_asks_the_model_only_through_its_doors() -> None:
    for name, path in modules("bot").items():
        allowed = BOT_MAY_USE | ({"poet"} if name == "inference" else set())
        assert first_parts(imports(path), "poetgen") - allowed == set(), name
        assert not any(used.split(".")[0] == "torch" for used in imports(path, at_import_only=True)), name


def test_only_the_settings_read_the_environment() -> None:
    for name, path in modules("bot").items():
        text = path.read_text(encoding="utf-8")
        assert name == "settings" or "environ" not in text, name
