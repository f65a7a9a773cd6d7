"Engines agree with each other, and refuse what they cannot run."
import os

import numpy as np
import pytest
import torch

from fishlearn.errors import ArgumentError, JobError
from fishlearn.models.backbones import DEFAULT_ARCH, create_net
from fishlearn.models.engines import graph_engine, onnx_engine, openvino_engine, torch_engine, write_graph


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
