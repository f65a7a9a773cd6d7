"Names, sizes, bodies and heads of backbones."
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import get_model

from fishlearn.errors import ArgumentError
from fishlearn.models.backbones import (
    DEFAULT_ARCH,
    _check_arch,
    _find_weights,
    _fixed_size,
    _image_size,
    _library,
    _normalisation,
    _timm_body,
    _torchvision_body,
    _unwrap_names,
    arch_preprocessing,
    create_body,
    create_head,
    create_net,
    fold_batchnorm,
    load_body,
    pretrained_body,
)
from fishlearn.models.fishresnet import FishResNet
from fishlearn.models.weights import _packaged_weights, read_weights


@pytest.mark.parametrize("arch, library", [
    ("resnet34", "timm"), ("vit_tiny_patch16_224", "timm"), ("regnet_y_400mf", "torchvision"), ("vit_b_16", "torchvision"),
    ("fishresnet", "fishlearn"), ("resnet35", None), ("resnet34.nonsense", None), ("squeezenet1_0", None)])
def test_library(arch, library): assert _library(arch) == library


@pytest.mark.parametrize("arch, message", [
    ("resnet35", "similar names: resnet"), ("resnet34.nonsense", "There is no arch 'resnet34.nonsense'"),
    ("regnet_y_400", "regnet_y_400mf"), ("FishResNet", "fishresnet"), (get_model, "arch must be a name in quotes"),
    *((arch, f"{arch} is not an image classifier") for arch in ("squeezenet1_0", "googlenet", "fasterrcnn_resnet50_fpn", "r3d_18"))])
def test_unknown_arch(arch, message):
    with pytest.raises(ArgumentError, match=message): _check_arch(arch)


def test_normalisation():
    imagenet = (.485, .456, .406), (.229, .224, .225)
    assert [_normalisation(arch) for arch in ("resnet18", "regnet_y_400mf")] == [imagenet] * 2
    assert [_normalisation(arch) for arch in (DEFAULT_ARCH, "efficientnet_v2_l")] == [((.5,) * 3,) * 2] * 2
    assert _normalisation("fishresnet")._asdict() == dict(mean=(0, 0, 0), std=(1, 1, 1))
    assert arch_preprocessing("fishresnet").std == (1, 1, 1)


def test_sizes():
    archs = (DEFAULT_ARCH, "vit_tiny_patch16_224", "regnet_y_400mf", "vit_b_16", "vit_h_14")
    assert [_fixed_size(arch) for arch in archs] == [None, 224, None, 224, 518]
    assert [_image_size(DEFAULT_ARCH), _image_size(DEFAULT_ARCH, 320), _image_size(DEFAULT_ARCH, (192, 320))] == [256, 320, (192, 320)]
    assert [_image_size(a) for a in ("vit_tiny_patch16_224", "fishresnet", "fishresnet_64")] == [(224, 224), (128, 128), (64, 64)]


@pytest.mark.parametrize("arch, size, message", [
    ("vit_tiny_patch16_224", (192, 320), "only takes photos of 224 px"), ("vit_tiny_patch16_224", 256, "only takes photos of 224 px"),
    (DEFAULT_ARCH, (192, 320, 3), "write size=256 or"), ("fishresnet", 224, "fishresnet only takes photos of 128 px"),
    (DEFAULT_ARCH, 8, "size must be at least 32 px, not 8")])
def test_refused_sizes(arch, size, message):
    with pytest.raises(ArgumentError, match=message): _image_size(arch, size)


@pytest.mark.parametrize("make, arch, size", [
    *((_timm_body, arch, 64) for arch in ("resnet34", DEFAULT_ARCH, "mobilenetv3_small_050", "ghostnet_050")),
    *((_torchvision_body, arch, 64) for arch in ("resnet18", "convnext_tiny", "densenet121", "vgg11", "mobilenet_v3_small",
                                                 "shufflenet_v2_x0_5", "regnet_y_400mf", "mnasnet0_5", "swin_t")),
    (_timm_body, "vit_tiny_patch16_224", 224), (_torchvision_body, "vit_b_16", 224)])
def test_num_features(make, arch, size):
    body = make(arch)
    with torch.inference_mode(): assert body.eval()(torch.zeros(1, 3, size, size)).shape[1] == body.num_features


def test_create_body():
    assert [create_body(arch).num_features for arch in (DEFAULT_ARCH, "regnet_y_400mf", "fishresnet")] == [1280, 440, 8192]
    with pytest.raises(ArgumentError, match="similar names"): create_body("regnet")


def test_heads():
    assert [type(m).__name__ for m in create_head(8, 3)] == ["PowerNorm", "Dropout", "Linear"]
    assert [create_head(8, 3)[1].p, create_head(8, 3, .5)[1].p, create_head(8, 3, arch="fishresnet")[1].p] == [0., .5, .2]


def test_fishresnet_in_two_parts():
    net, whole = create_net("fishresnet", 9).eval(), FishResNet(3, 9).eval()
    net.load_state_dict(dict(zip(net.state_dict(), whole.state_dict().values(), strict=True)))
    x = torch.rand(2, 3, 128, 128)
    with torch.inference_mode(): torch.testing.assert_close(net(x), whole(x))
    assert sum(p.numel() for p in net.parameters()) == 6_643_977


def test_mirror_net():
    net, twice = create_net("resnet18", 9).eval(), create_net("resnet18", 9, mirror=True).eval()
    twice.load_state_dict(net.state_dict())
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(twice(x), (net(x) + net(x.flip(3))) / 2)
        torch.testing.assert_close(twice(x), twice(x.flip(3)))


def test_names_that_do_not_fit_stay():
    state = {"module.weight": 1, "module.bias": 2, "epoch": 3}
    assert _unwrap_names(state, ["weight", "scale"]) == state


@pytest.mark.parametrize("prefix", ["", "module.", "0.", "0.model."])
def test_prefixes(prefix):
    theirs = get_model("resnet34").state_dict()
    state = {prefix + k: v for k, v in theirs.items() if "num_batches" not in k}
    assert torch.equal(load_body(create_body("resnet34"), state, "resnet34").conv1.weight, theirs["conv1.weight"])


def test_weights_of_another_backbone():
    theirs = get_model("resnet34").state_dict()
    with pytest.raises(ArgumentError, match="do not fit resnet26"): load_body(create_body("resnet26"), theirs, "resnet26")
    cut = {"0." + k: v[:1] for k, v in theirs.items() if v.dim()}
    with pytest.raises(ArgumentError, match="have another shape, such as"): load_body(create_body("resnet34"), cut, "resnet34")


def test_where_weights_are_found():
    assert torch.equal(pretrained_body().conv_stem.weight, _packaged_weights(DEFAULT_ARCH)["conv_stem.weight"])
    assert _find_weights("fishresnet") is None


@pytest.mark.parametrize("arch", ["resnet34", "resnet50", "vit_tiny_patch16_224", "mnasnet0_5", "fishresnet"])
def test_weights_from_a_file(arch, tmp_path):
    first, file = pretrained_body(arch, pretrained=False), tmp_path / "body.safetensors"
    save_file(first.state_dict(), file)
    for a, b in zip(first.parameters(), pretrained_body(arch, file).parameters(), strict=True): assert torch.equal(a, b)


def test_weights_of_whole_models(tmp_path):
    net = create_net("regnet_y_400mf", 9)
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    assert torch.equal(pretrained_body("regnet_y_400mf", tmp_path / "model.safetensors").stem[0].weight, net[0].stem[0].weight)
    torch.save(FishResNet(3, 5).state_dict(), tmp_path / "fish.pth")
    assert torch.equal(pretrained_body("fishresnet", tmp_path / "fish.pth")[0][0].weight, read_weights(tmp_path / "fish.pth")["0.0.0.weight"])


class Crossed(nn.Module):
    "Registers a batch norm after the convolution that follows it."
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.norm.running_mean += 1
    def forward(self, x): return self.conv(self.norm(x))


def test_folding():
    count = lambda net: sum(isinstance(m, nn.BatchNorm2d) for m in net.modules())
    ours, crossed = create_net("fishresnet", 9).eval(), Crossed().eval()
    assert count(ours) > 0 and count(fold_batchnorm(ours)) == 0
    assert fold_batchnorm(crossed) is crossed
