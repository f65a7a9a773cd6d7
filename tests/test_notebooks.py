"Every notebook is a test: its cells run from top to bottom, on the modules exported from it."
import ast
import atexit
import ctypes
import gc
import os
import signal
import symtable
import sys
import tempfile
from functools import partial

import matplotlib.pyplot as plt
import nbdev.test
import pytest
from nbdev.config import get_config
from nbdev.process import NBProcessor, Processor

from fishlearn.samples import notebook as pages

pytestmark = pytest.mark.notebooks
config = get_config()
NOTEBOOKS = sorted(config.nbs_path.rglob("*.ipynb"), key=lambda f: -f.stat().st_size)
UNMEASURED = "index", "tutorials", "00_core", "cli", "bench/measure", "train/recipes"  # long; tests/ has their code


def as_parameter(notebook):
    "A notebook with its name, and whether coverage is measured in it."
    name = notebook.relative_to(config.nbs_path).as_posix()
    return pytest.param(notebook, id=name, marks=[pytest.mark.no_cover] if name.startswith(UNMEASURED) else [])


def only_imports(source):
    "Whether a cell holds nothing but imports."
    return all(isinstance(line, (ast.Import, ast.ImportFrom)) for line in ast.parse(source).body)


def bound_names(source):
    "Names that a cell defines, assigns or imports, nested functions and classes left alone."
    symbols = symtable.symtable(source, "cell", "exec").get_symbols()
    return sorted(s.get_name() for s in symbols if s.is_assigned() or s.is_imported())


class ImportExports(Processor):
    "In place of running an export cell, import what it defines, so that the examples test what is shipped."

    def _default_exp_(self, cell, module): self.module = module

    def _export_(self, cell, module=None):
        if only_imports(cell.source): return
        names = ", ".join(f"{name} as {name}" for name in bound_names(cell.source))
        cell.source = f"from {config.lib_name}.{module or self.module} import {names}" if names else ""

    _exporti_ = _exports_ = _export_


@pytest.fixture
def folders(monkeypatch):
    "Folders of a page are deleted after it, since pytest may kill a worker that takes long to end."
    monkeypatch.setenv("FISHLEARN_CACHE", os.environ["FISHLEARN_CACHE"])
    with tempfile.TemporaryDirectory(prefix="fishlearn-pages-", ignore_cleanup_errors=True) as folder:
        monkeypatch.setattr(pages, "_temporary_folder", partial(tempfile.mkdtemp, dir=folder))
        yield


@pytest.fixture
def forgotten(monkeypatch):
    "IPython keeps what a page has made until the process ends, and nbdev a handler that ends it without a word."
    shells, start, handler = [], nbdev.test.CaptureShell, signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(nbdev.test, "CaptureShell", lambda *a, **kw: shells.append(start(*a, **kw)) or shells[-1])
    yield
    signal.signal(signal.SIGINT, handler)
    for shell in shells:
        shell.close()
        shell.reset(new_session=False)
        atexit.unregister(shell.atexit_operations)
    shells.clear()
    plt.close("all")
    gc.collect()
    if sys.platform.startswith("linux"): ctypes.CDLL(None).malloc_trim(0)


@pytest.mark.parametrize("notebook", map(as_parameter, NOTEBOOKS))
def test_notebook(notebook, folders, forgotten, monkeypatch):
    monkeypatch.setattr(nbdev.test, "NBProcessor", partial(NBProcessor, procs=ImportExports))
    options = dict(skip_flags=config.tst_flags.split(), cell_timeout=config.cell_timeout or None)
    passed, _ = nbdev.test.test_nb(notebook, basepath=config.config_path, **options)
    assert passed, f"{notebook.name}: the failing cell is printed above"
