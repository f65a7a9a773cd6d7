"Engines agree with each other, and refuse what they cannot run."
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from fishlearn.errors import ArgumentError, JobError
from fishlearn.models.backbones import DEFAULT_ARCH, create_net
from fishlearn.models.engines import graph_engine, onnx_engine, openvino_engine, torch_engine, write_graph

SIGNAL_AFTER_ENGINES = """
import gc, signal, sys
import numpy as np
from fishlearn.models.engines import openvino_engine
signal.signal(signal.SIGTERM, lambda *_: print("heard"))
engines = [openvino_engine(sys.argv[1]) for _ in range(2)]
for engine in engines: engine(np.zeros((1, 3, 64, 96), np.float32))
del engine
while engines:
    engines.pop(0)
    gc.collect()
signal.raise_signal(signal.SIGTERM)
"""


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    "A graph, photos and their logits by PyTorch."
    torch.manual_seed(0)
    net, file = create_net(DEFAULT_ARCH, 9).eval(), tmp_path_factory.mktemp("graph") / "model.onnx"
    write_graph(net, file, size=(64, 96))
    x = np.random.default_rng(0).standard_normal((5, 3, 64, 96), np.float32)
    return file, x, torch_engine(net, torch.device("cpu"))(x)


def test_onnx_runtime(graph):
    file, x, expected = graph
    np.testing.assert_allclose(onnx_engine(file)(x), expected, atol=1e-4)


@pytest.mark.parametrize("threads", [1, os.cpu_count()])
def test_openvino(graph, threads):
    pytest.importorskip("openvino")
    file, x, expected = graph
    np.testing.assert_allclose(openvino_engine(file, threads)(x), expected, atol=1e-4)


def test_openvino_in_16_bits(graph):
    pytest.importorskip("openvino")
    file, x, expected = graph
    np.testing.assert_allclose(openvino_engine(file, precision="bfloat16")(x), expected, atol=.05 * np.abs(expected).max())


@pytest.mark.parametrize("engine", [onnx_engine, graph_engine])
def test_damaged_graph(graph, engine, tmp_path):
    (tmp_path / "half.onnx").write_bytes(graph[0].read_bytes()[:5000])
    with pytest.raises(JobError, match="half.onnx is damaged"): engine(tmp_path / "half.onnx")


def test_precisions(graph, monkeypatch):
    with pytest.raises(ArgumentError, match="There is no precision 'int8'"): graph_engine(graph[0], precision="int8")
    monkeypatch.setattr("fishlearn.models.engines.find_spec", lambda name: None)
    with pytest.raises(ArgumentError, match="bfloat16 needs OpenVINO"): graph_engine(graph[0], precision="bfloat16")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals of this kind")
def test_a_signal_after_several_engines_are_gone(graph):
    "On a CPU with AMX each start of OpenVINO changed where signals are handled, and its end could leave that nowhere."
    pytest.importorskip("openvino")
    done = subprocess.run([sys.executable, "-c", SIGNAL_AFTER_ENGINES, str(graph[0])], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr
