"What modules may load and packages may hold. Which module may import which is in pyproject.toml, for lint-imports."
import subprocess
import sys
from pathlib import Path

import pytest

import fishlearn

PACKAGE = Path(fishlearn.__file__).parent
TRAINING = {"torch", "torchvision", "fastai", "timm"}
HELP = "from fishlearn.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"


def loaded(code):
    "Modules that a fresh Python has loaded after a piece of code."
    words = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules, sep='\\n')"]
    return set(subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines())


@pytest.mark.parametrize("code, heavy", [
    ("import fishlearn.deploy.predict", TRAINING),
    (HELP, TRAINING | {"numpy", "pandas", "PIL", "onnxruntime"}),
], ids=["deploy.predict", "fishlearn --help"])
def test_starts_light(code, heavy):
    modules = loaded(code)
    assert "fishlearn" in modules
    assert not modules & heavy


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("__init__.py")), ids=lambda f: f.parent.name)
def test_packages_are_empty(file):
    text = file.read_text(encoding="utf-8")
    if file.parent == PACKAGE: assert text == f'__version__ = "{fishlearn.__version__}"\n'
    else: assert not text


def test_notebooks_stand_where_their_modules_do():
    "nbs/data/table.ipynb is fishlearn/data/table.py; only the numbered one is called otherwise."
    nbs = PACKAGE.parent / "nbs"
    modules = {f.relative_to(PACKAGE).with_suffix("").as_posix() for f in PACKAGE.rglob("*.py") if f.name[0] != "_"}
    pages = {f.relative_to(nbs).with_suffix("").as_posix().replace("00_core", "core") for f in nbs.rglob("*.ipynb")}
    assert modules <= pages
