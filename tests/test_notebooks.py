"Every notebook is a test: its cells run from top to bottom."
import pytest
from nbdev.config import get_config
from nbdev.test import test_nb as run_notebook

config = get_config()
NOTEBOOKS = sorted(config.nbs_path.rglob("*.ipynb"), key=lambda f: -f.stat().st_size)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda f: f.relative_to(config.nbs_path).as_posix())
def test_notebook(notebook):
    passed, _ = run_notebook(notebook, skip_flags=config.tst_flags.split(), basepath=config.config_path)
    assert passed, f"{notebook.name}: the failing cell is printed above"
