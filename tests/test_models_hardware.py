"The choice of precision, layout and threads."
import pytest
import torch

from fishlearn.models.backbones import DEFAULT_ARCH, create_body
from fishlearn.models.hardware import ComputeConfig, _time_configs, autotune


class Broken(torch.nn.Module):
    "Cannot compute in 16 bits."
    def forward(self, x):
        if torch.is_autocast_enabled(x.device.type): raise RuntimeError("no such type on this device")
        return x


def test_types_a_device_cannot_compute(): assert _time_configs(Broken(), torch.rand(4, 3, 32, 32)).precision == "float32"


def test_names():
    assert ComputeConfig().dtype == torch.float32
    assert ComputeConfig(layout="channels_last").memory_format == torch.channels_last


@pytest.mark.parametrize("training", [True, False])
def test_a_trial_is_remembered_and_changes_nothing(training):
    body, x, threads = create_body(DEFAULT_ARCH).train(training), torch.rand(4, 3, 64, 64), torch.get_num_threads()
    before = {k: v.clone() for k, v in body.state_dict().items()}
    config = autotune(body, x)
    assert config.gain >= 1 and autotune(body, x) == config
    assert all(torch.equal(v, before[k]) for k, v in body.state_dict().items())
    assert torch.get_num_threads() == threads
