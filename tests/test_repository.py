"""What must hold of the repository as a whole: the import rule, light imports, documents, sizes."""

import importlib.metadata
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import polyglyph
from polyglyph.cli import VERBS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LIGHT_ROOMS = ("base", "formats", "cli")
MODULE_LINES = 400


def tracked():
    """Files that git tracks, or all sources where there is no git."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / name.decode() for name in listed.split(b"\0") if name]
    return [path for path in paths if path.is_file()]


def modules(room):
    package = Path(polyglyph.__file__).parent / room
    found = [f"polyglyph.{room}"]
    found += [item.name for item in pkgutil.walk_packages([str(package)], prefix=f"polyglyph.{room}.")]
    return found


def torch_free_configs():
    root = Path(polyglyph.__file__).parent
    paths = [path.relative_to(root).with_suffix("") for path in root.rglob("config.py")]
    return [f"polyglyph.{'.'.join(path.parts)}" for path in paths]


def test_a_room_imports_only_from_rooms_below_it():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("room", LIGHT_ROOMS)
def test_importing_a_light_room_loads_no_torch(room):
    names = modules(room)
    assert len(names) > 3
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_importing_any_config_loads_no_torch():
    names = torch_free_configs()
    assert "polyglyph.shape.get3d.config" in names
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def commands():
    """Every `polyglyph ...` line in a fenced block of the documents."""
    for path in DOCUMENTS:
        for block in re.findall(
            r"^```(?:sh|bash|)\n(.*?)^```", path.read_text(), flags=re.MULTILINE | re.DOTALL
        ):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("polyglyph "):
                    words = shlex.split(line, comments=True)
                    yield pytest.param(words[1:], id=f"{path.name}: {line}"[:100])


def inline_commands():
    """Every `polyglyph VERB ...` in backticks in a document."""
    for path in DOCUMENTS:
        for text in re.findall(r"`polyglyph ([a-z][^`]*)`", path.read_text()):
            yield pytest.param(text.split()[0], id=f"{path.name}: {text}"[:100])


@pytest.mark.parametrize("words", list(commands()))
def test_a_command_in_the_documents_is_understood(words, monkeypatch):
    """The real parser reads every option; only the work is left out."""
    from polyglyph import cli
    from polyglyph.cli import common

    verb, *arguments = words
    assert verb in VERBS or verb == "--help"
    if verb not in VERBS:
        return
    parsed = []

    def only_parse(verb, kind, work, arguments, **settings):
        options = common.parse(verb, kind, arguments, **settings)
        common.check(options)
        parsed.append(options)
        return 0

    module = __import__(VERBS[verb].module, fromlist=["main"])
    monkeypatch.setattr(module, "run_verb", only_parse)
    assert cli.main([verb, *arguments]) == 0
    assert parsed


@pytest.mark.parametrize("verb", list(inline_commands()))
def test_a_verb_named_in_the_documents_exists(verb):
    assert verb in VERBS


def python_blocks():
    for path in DOCUMENTS:
        for block in re.findall(r"^```python\n(.*?)^```", path.read_text(), flags=re.MULTILINE | re.DOTALL):
            yield pytest.param(block, id=path.name)


@pytest.mark.parametrize("block", list(python_blocks()))
def test_a_python_block_in_the_documents_runs(block, tmp_path, monkeypatch):
    from polyglyph.formats.glb import write_glb
    from polyglyph.formats.model import Part

    corners = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    import numpy as np

    part = Part(np.float32(corners), np.int32([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]]))
    write_glb(tmp_path / "chair.glb", [part])
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "document", "exec"), {"__name__": "block"})
    written = [path for path in tmp_path.iterdir() if path.name != "chair.glb"]
    assert all(path.stat().st_size > 100 for path in written)
    assert written or "write" not in block


def test_the_links_between_documents_lead_somewhere():
    broken = []
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
            if "://" not in target and not (path.parent / target).exists():
                broken.append(f"{path.name}: {target}")
    assert not broken


def test_paths_named_in_the_documents_exist():
    missing = []
    for path in DOCUMENTS:
        for target in re.findall(r"`((?:src|docs|csrc|tests|benchmarks|\.ci)/[\w./-]*)`", path.read_text()):
            if not (ROOT / target).exists():
                missing.append(f"{path.name}: {target}")
    assert not missing


def test_the_version_is_said_once_and_the_changelog_has_it():
    assert importlib.metadata.version("polyglyph") == PROJECT["version"]
    assert polyglyph.__version__ == PROJECT["version"]
    assert f"\n## [{PROJECT['version']}] " in (ROOT / "CHANGELOG.md").read_text()


def test_constraints_pin_every_dependency_within_its_range():
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    )
    extras = PROJECT["optional-dependencies"].values()
    for requirement in [*PROJECT["dependencies"], *(item for extra in extras for item in extra)]:
        name, least = re.match(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", requirement).groups()
        assert name in pins, f"{name} is not in constraints.txt"
        version = [int(number) for number in pins[name].split(".")]
        assert version >= [int(number) for number in least.split(".")], name


def test_every_room_is_on_the_architecture_page():
    page = (ROOT / "docs" / "architecture.md").read_text()
    rooms = [path.parent.name for path in (ROOT / "src" / "polyglyph").glob("*/__init__.py")]
    assert not [room for room in rooms if f"| `{room}` |" not in page]


def test_the_changelog_names_every_verb():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert not [
        verb for verb in VERBS if f"`{verb}`" not in changelog and f"`polyglyph {verb}`" not in changelog
    ]


def test_no_tracked_file_names_a_machine_path_or_a_registry():
    homes = "|".join(("root", "home", "Users", "work", "farm"))
    forbidden = re.compile(
        rf"(?<![\w.$~-])/(?:{homes})/[A-Za-z0-9_.]+|files\.pythonhosted|registry\.npmjs|pypi\.org/simple"
        r"|--(?:extra-)?index-url|find-links"
    )
    found = []
    for path in tracked():
        data = path.read_bytes()
        if b"\0" in data or path == Path(__file__):
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
            if forbidden.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    assert not found


def test_the_tracked_files_stay_under_40_mib():
    assert sum(path.stat().st_size for path in tracked()) < 40 * 2**20


def test_the_shipped_model_stays_under_8_mb():
    weights = ROOT / "src" / "polyglyph" / "shape" / "get3d" / "models" / "furniture" / "model.safetensors"
    assert weights.stat().st_size <= 8_000_000


def test_modules_stay_short():
    long = {}
    for path in (ROOT / "src").rglob("*.py"):
        lines = len(path.read_text().splitlines())
        if lines > MODULE_LINES:
            long[str(path.relative_to(ROOT))] = lines
    assert not long, f"split these: {long}"


def test_nothing_but_the_command_line_and_progress_prints():
    allowed = {"cli", "base/progress.py"}
    guilty = []
    for path in (ROOT / "src" / "polyglyph").rglob("*.py"):
        name = str(path.relative_to(ROOT / "src" / "polyglyph"))
        if name.split("/")[0] in allowed or name in allowed:
            continue
        if re.search(r"(?<![\w.])print\(", path.read_text()):
            guilty.append(name)
    assert not guilty


def test_data_and_weights_come_with_their_licence():
    for folder in ("tests/data", "src/polyglyph/shape/get3d/models"):
        heavy = [
            path
            for path in (ROOT / folder).rglob("*")
            if path.suffix in (".glb", ".obj", ".safetensors", ".png", ".sh3f") and path.is_file()
        ]
        for path in heavy:
            near = [*path.parent.glob("*"), *(ROOT / folder).glob("*")]
            names = {other.name.upper() for other in near}
            assert any(name.startswith(("LICEN", "README", "COPYING")) for name in names), path


def test_the_licence_file_is_apache_2():
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:200]
    assert PROJECT["license"] == "Apache-2.0"


def test_nothing_non_commercial_or_squatted_is_required():
    banned = {"drtk", "kaolin", "pytorch3d", "clip", "fabric", "nvdiffrast", "nvdiffrec", "gsplat"}
    names = {re.match(r"[\w-]+", item).group().lower() for item in PROJECT["dependencies"]}
    for extra in PROJECT["optional-dependencies"].values():
        names |= {re.match(r"[\w-]+", item).group().lower() for item in extra}
    assert not names & banned
