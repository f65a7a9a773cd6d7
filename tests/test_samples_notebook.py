"Pages leave nothing behind: their folders are gone when the process ends, and not before."
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fishlearn

PAGE = """
import multiprocessing, os
from fishlearn.samples.notebook import _start_page
def page():
    for own_cache in (False, True):
        _start_page(own_cache=own_cache)
        open("photo.jpg", "w").close()
        print(os.getcwd(), os.environ["FISHLEARN_CACHE"], sep="\\n", flush=True)
"""
ALONE = PAGE + "page()"
IN_A_WORKER = PAGE + """
child = multiprocessing.get_context("fork").Process(target=page)
child.start()
child.join()
"""
WITH_A_CHILD = PAGE + """
page()
child = multiprocessing.get_context("fork").Process(target=print)
child.start()
child.join()
assert os.path.exists("photo.jpg")
"""
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.mark.parametrize("script", [ALONE, pytest.param(IN_A_WORKER, marks=needs_fork),
                                    pytest.param(WITH_A_CHILD, marks=needs_fork)])
def test_folders_of_pages_are_deleted_at_the_end(script, tmp_path):
    given = tmp_path / "cache"
    given.mkdir()
    env = os.environ | dict(FISHLEARN_CACHE=str(given), PYTHONPATH=str(Path(fishlearn.__file__).parents[1]),
                            TMPDIR=str(tmp_path), TMP=str(tmp_path), TEMP=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env, check=True)
    folders = set(done.stdout.split()) - {str(given)}
    assert len(folders) == 3 and list(tmp_path.iterdir()) == [given]
