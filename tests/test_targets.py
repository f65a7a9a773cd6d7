"Model folders are replaced as a whole; only what fishlearn wrote is deleted; what is cut off is finished."
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fishlearn.errors import ArgumentError, JobError
from fishlearn.parts import _machine_key, _TemporaryFolder
from fishlearn.targets import _check_run, _check_target, _delete_run, _write_folder


@pytest.fixture(autouse=True)
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return _write_folder("model", write(1))


def write(number): return lambda folder: (folder / "species.json").write_text(f"[{number}]")


def disk_full(folder):
    (folder / "species.json").write_text("half")
    raise OSError(28, "No space left on device")


def vanish(folder): folder.rmdir()


def stop(folder): raise KeyboardInterrupt


def names(folder="."): return sorted(p.name for p in Path(folder).iterdir())


@pytest.fixture(scope="module")
def dead():
    "The number of a process that has ended."
    (p := subprocess.Popen([sys.executable, "-c", ""])).wait()
    return p.pid


def part(name, pid, machine=None): return Path(f".{name}.{machine or _machine_key()}-{pid}-0123456789abcdef.part")


def test_existing_folder_needs_force():
    with pytest.raises(ArgumentError, match="model exists already"): _check_target("model")
    _write_folder("model", write(2), force=True)
    assert Path("model/species.json").read_text() == "[2]" and names() == ["model"]


@pytest.mark.parametrize("fill", [disk_full, vanish, stop])
def test_failure_keeps_the_old_folder(fill):
    with pytest.raises((JobError, KeyboardInterrupt)): _write_folder("model", fill, force=True)
    assert Path("model/species.json").read_text() == "[1]"
    assert names() == ["model"]


def test_other_folders_are_never_replaced():
    Path("holiday").mkdir()
    with pytest.raises(ArgumentError, match="holiday is not a model folder"): _check_target("holiday", force=True)


@pytest.mark.parametrize("foreign", ["notes.txt", "photos", ".hidden"])
def test_foreign_entries_are_never_deleted(foreign):
    "Also those that appear while the model is written."
    path = Path("model", foreign)
    def fill(folder):
        write(2)(folder)
        path.mkdir() if foreign == "photos" else path.touch()
    with pytest.raises(ArgumentError, match=f"also holds {foreign}, which fishlearn did not write"):
        _write_folder("model", fill, force=True)
    with pytest.raises(ArgumentError, match=f"also holds {foreign}"): _check_target("model", force=True)
    assert names() == ["model"] and names("model") == sorted(["species.json", foreign])


def test_target_below_a_file():
    Path("file").touch()
    with pytest.raises(JobError, match="cannot be written: .*file is not a folder you may write to"):
        _check_target("file/model")


@pytest.mark.parametrize("name", ["x" * 300, "new/" + "x" * 300, "a\0b", "a\nb", "cod.", "cod ", "aux", "LPT1.model", "/"])
def test_names_are_refused_before_any_work(name):
    with pytest.raises((ArgumentError, JobError)) as e: _check_target(name)
    assert len(str(e.value)) < 200 and "\n" not in str(e.value) and "\0" not in str(e.value)
    assert names() == ["model"]


@pytest.mark.parametrize("name", ["cod model", "Γάδος", "caf\udce9", "x" * 200, "a.b", "deep/er/model"])
def test_names_that_work(name):
    _write_folder(name, write(2))
    assert Path(name, "species.json").read_text() == "[2]"


def test_link_stays():
    Path("link").symlink_to("model")
    _write_folder("link", write(2), force=True)
    assert Path("link").is_symlink() and Path("model/species.json").read_text() == "[2]"


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077])
def test_modes_follow_the_umask(umask):
    def fill(folder):
        write(2)(folder)
        (folder / "model.safetensors").touch(0o600)
        os.chmod(folder / "model.safetensors", 0o600)
    before = os.umask(umask)
    try: _write_folder("m", fill)
    finally: os.umask(before)
    assert stat.S_IMODE(Path("m").stat().st_mode) == 0o777 & ~umask
    assert {stat.S_IMODE(p.stat().st_mode) for p in Path("m").iterdir()} == {0o666 & ~umask}


def test_replaced_folder_stays_private():
    os.chmod("model", 0o700)
    _write_folder("model", write(2), force=True)
    assert {stat.S_IMODE(Path(p).stat().st_mode) for p in ("model", "model/species.json")} == {0o700, 0o600}


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="mounting needs root")
def test_mount_points_and_read_only_disks():
    if os.system("mount -t tmpfs tmpfs model 2>/dev/null"): pytest.skip("mounting is not allowed here")
    try:
        Path("model/species.json").touch()
        with pytest.raises(ArgumentError, match="is a mount point"): _check_target("model", force=True)
        os.system("mount -o remount,ro model")
        with pytest.raises(JobError, match="Read-only file system"): _check_target("model/new")
    finally: os.system("umount model")


@pytest.mark.parametrize("new", [False, True])
def test_swap_that_was_killed_is_finished(dead, new):
    "Killed between its two renames: there was no model under the name, and the old one was hidden."
    left = part("model", dead)
    left.mkdir()
    Path("model").rename(left / "old")
    if new: (left / "new").mkdir()
    if new: write(2)(left / "new")
    with pytest.raises(ArgumentError, match="exists already"): _check_target("model")
    assert (Path("model/species.json").read_text(), names()) == ("[2]" if new else "[1]", ["model"])


def test_loading_finishes_too(dead):
    from fishlearn.deploy.model_folder import _load_files
    left = part("model", dead)
    left.mkdir()
    Path("model").rename(left / "old")
    with pytest.raises(JobError, match="species.json lacks format_version"): _load_files("model")
    assert names() == ["model"]


def test_parts_of_the_dead_are_swept_and_no_others(dead):
    kept = [part("model", os.getppid()), part("model", dead, "0" * 8), part("model2", dead), Path(".model.part"), Path(".model-abc")]
    gone = [part("model", dead), part("model", os.getpid())]
    for p in kept + gone: (p / "new").mkdir(parents=True)
    part("model", dead).with_suffix(".txt").touch()
    _write_folder("model", write(2), force=True)
    assert all(p.exists() for p in kept) and not any(p.exists() for p in gone)


def test_parts_of_other_machines_after_a_week(dead):
    left = part("model", dead, "0" * 8)
    left.mkdir()
    os.utime(left, (1, 1))
    _write_folder("model", write(2), force=True)
    assert names() == ["model"]


def test_TemporaryFolders_of_the_dead_are_swept(dead, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    part("fishlearn", dead).mkdir()
    with _TemporaryFolder() as folder: assert names() == sorted([Path(folder).name, "model"])
    assert names() == ["model"]


def tensors(file, **metadata):
    header = json.dumps(dict(__metadata__=metadata)).encode()
    Path(file).write_bytes(len(header).to_bytes(8, "little") + header)


def run(*files):
    Path("model.run").mkdir()
    tensors("model.run/state.safetensors", state="{}", sha256="")
    tensors("model.run/stage-all.safetensors", stage="all")
    Path("model.run/history.csv").write_text("stage,epoch,lr\n")
    for f in files:
        p = Path("model.run", f)
        p.parent.mkdir(parents=True, exist_ok=True)
        p.write_text("x")
    return Path("model.run").absolute()


def other_weights(folder): tensors(folder / "state.safetensors", format="pt")


def text_state(folder): (folder / "state.safetensors").write_text("mine")


def other_history(folder): (folder / "history.csv").write_text("year,catch\n1998,12\n")


@pytest.mark.parametrize("change", [other_weights, text_state, other_history])
def test_names_do_not_make_a_training(change):
    "--force deleted them by their names."
    change(run())
    before = {p: p.read_bytes() for p in Path("model.run").iterdir()}
    with pytest.raises(ArgumentError, match="was not written by fishlearn"): _check_run(Path("model.run"))
    assert {p: p.read_bytes() for p in Path("model.run").iterdir()} == before


def test_weights_of_others_stay():
    other_history(run("stage-mine.safetensors"))
    _delete_run(Path("model.run").absolute())
    assert names("model.run") == ["history.csv", "stage-mine.safetensors"]


def test_run_is_deleted():
    _delete_run(run())
    assert names() == ["model"]


@pytest.mark.parametrize("other", ["notes.txt", "tensorboard/events", "photos/a.jpg"])
def test_what_else_is_in_a_run_stays(other):
    _delete_run(run(other))
    assert names("model.run") == [other.split("/")[0]] and Path("model.run", other).exists()


@pytest.mark.parametrize("files, fine", [([], False), (["notes.txt"], False), (["history.csv"], False), (["tensorboard/e"], True)])
def test_folder_that_is_no_run_is_not_touched(files, fine):
    Path("model.run").mkdir()
    for f in files:
        Path("model.run", f).parent.mkdir(exist_ok=True)
        Path("model.run", f).write_text("mine")
    if fine: return _check_run(Path("model.run"))
    with pytest.raises(ArgumentError, match="is no training of fishlearn, so it is not touched"): _check_run(Path("model.run"))
    assert names("model.run") == files
