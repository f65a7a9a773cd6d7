"Backbones of all three makers train without pretrained weights and without a network, and take weights from a file."
import pytest
from safetensors.torch import save_file

from fishlearn.core import train_species_model
from fishlearn.deploy.species_model import SpeciesModel
from fishlearn.models.backbones import create_body
from fishlearn.samples.fish import sample_fish

pytestmark = pytest.mark.no_cover


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos") / "fish"
    sample_fish(folder, per_species=[6, 6] + [0] * 7, size=64)
    return folder


@pytest.mark.parametrize("arch, size", [("resnet34", 64), ("resnet50", 64), ("vit_tiny_patch16_224", None), ("shufflenet_v2_x0_5", 64), ("fishresnet", None)])
def test_arch(tmp_path, photos, arch, size):
    model = train_species_model(photos, arch=arch, size=size, recipe="scratch", epochs=1)
    assert model.history.stage.tolist() == ["scratch"] and model.settings["arch"] == arch
    save_file(create_body(arch).state_dict(), tmp_path / "body.safetensors")
    other = train_species_model(photos, arch=arch, size=size, recipe="probe", weights=str(tmp_path / "body.safetensors"))
    other.save(tmp_path / "model")
    assert SpeciesModel.load(tmp_path / "model").predict(photos).species.tolist() == other.predict(photos).species.tolist()
