"FishResNet: its variants, and a layer table that leaves a network as it was."
import torch

from fishlearn.models.fishresnet import FISHRESNETS, FishBody, FishResNet, layer_table


def test_layer_table_changes_nothing():
    net = FishResNet(3, 9)
    before = net[0][0][1].running_mean.clone()
    layer_table(net, 128)
    assert net.training and net[0].training
    assert torch.equal(net[0][0][1].running_mean, before)
    assert not any(m._forward_hooks for m in net.modules())


def test_species_change_the_last_layer_only():
    table, other = layer_table(FishResNet(3, 9), 128), layer_table(FishResNet(3, 4), 128)
    assert other[:-1].equals(table[:-1])
    assert other.params.iloc[-1] == 4 * (FishBody.num_features + 1)


def test_size_changes_no_parameter():
    table, halved = layer_table(FishResNet(3, 9), 128), layer_table(FishResNet(3, 9, size=FISHRESNETS["fishresnet_64"]), 64)
    assert halved[["layer", "params"]].equals(table[["layer", "params"]])
    assert list(halved["shape"][27:]) == list(table["shape"][27:])
