"Processes agree, wait for each other, and explain what is missing."
import os
import subprocess
import sys

import pytest

from fishlearn.errors import ArgumentError
from fishlearn.processes import _init_process_group

PROGRAM = """
from fastai.torch_core import rank_distrib
from fishlearn.processes import _any_process, _local_only, is_main_process, wait_for_everyone

rank = rank_distrib()
found = _any_process(rank == 1), _any_process(rank == 7)
wait_for_everyone()
if is_main_process():
    with _local_only(): print(found, _any_process(False))
"""


def test_accelerate_is_asked_for(monkeypatch):
    for name in [m for m in sys.modules if m.split(".")[0] == "accelerate"]: monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "accelerate", None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ArgumentError, match="pip install accelerate"): _init_process_group()


def test_a_failure_in_one_process_reaches_all(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "program.py"]
    path = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(True, False) False"
