"What the commands write, and what they refuse to write over, before any work; hostile names on all ways out."
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HOSTILE = "cod\x1b[2J<img src=x onerror=alert(1)>"


def run(*words, cwd=None, umask=-1, **env):
    "Run a command; return its status, output and errors."
    p = subprocess.run([sys.executable, "-m", "fishlearn.cli", *map(str, words)], cwd=cwd, capture_output=True,
                       env={**os.environ, "COLUMNS": "200", **env}, umask=umask)
    return p.returncode, p.stdout.decode(), p.stderr.decode()


def draw(file, seed, camera=None):
    file.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if camera: exif[0x0110] = camera
    pixels = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), np.uint8)
    Image.fromarray(pixels).resize((64, 64)).save(file, "JPEG", exif=exif)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    "Photos of two species with hostile names, and a model of them."
    folder = tmp_path_factory.mktemp("outputs")
    for i in range(8):
        draw(folder / "photos" / HOSTILE.replace("/", "") / f"{i}.jpg", i, "=cmd()|\x1b[31m")
        draw(folder / "photos" / "=eel[x](javascript:alert(1))|`y`" / f"{i}.jpg", 100 + i)
    status, _, err = run("train", "photos", "--out", "model", "--size", 64, "--recipe", "probe", cwd=folder, umask=0o027)
    assert status == 0, err
    (folder / "table.csv").write_text("path,label\n" + "".join(f"photos/{d}/{i}.jpg,{j}\n" for j, d in enumerate(os.listdir(folder / "photos"))
                                                             for i in range(8)))
    return folder


def photos_of(folder): return {p: p.read_bytes() for p in (*folder.glob("photos/*/*"), *folder.glob("model/*"), folder / "table.csv")}


@pytest.mark.parametrize("words", [
    ["check", "table.csv", "--csv", "table.csv"], ["check", "table.csv", "--json", "./table.csv"], ["check", "photos", "--html", "{photo}"],
    ["check", "photos", "--csv", "model/species.json"], ["check", "photos", "--json", "model/model.onnx"], ["check", "photos", "--csv", "photos"],
    ["check", "photos", "--csv", "link.csv"], ["check", "photos", "--csv", "a.csv", "--json", "a.csv"], ["predict", "model", "{photo}", "--csv", "{photo}"],
    ["predict", "model", "table.csv", "--csv", "table.csv"], ["predict", "model", "photos", "--csv", "model/README.md"],
    ["predict", "model", "photos", "--csv", "nowhere/a.csv"], ["predict", "model", "photos", "--csv", "x" * 300],
    ["evaluate", "model", "table.csv", "--json", "table.csv"], ["evaluate", "model", "photos", "--json", "model/history.csv"],
    ["bench", "photos", "--chart", "{photo}"], ["bench", "photos", "--csv", "model/photos.csv"], ["bench", "table.csv", "--csv", "table.csv"],
    ["bench", "photos", "--chart", "chart.xyz"], ["train", "photos", "--out", "x" * 300], ["train", "photos", "--out", "x" * 252],
    ["train", "photos", "--out", "a\nb"], ["train", "photos", "--out", "photos", "--force"], ["train", "photos", "--out", "model"],
    ["train", "photos", "--out", "table.csv", "--force"], ["train", "photos", "--out", "aux"]], ids=lambda w: " ".join(w)[:60])
def test_refused_before_any_work(here, words):
    "In one sentence; nothing is read, written or lost."
    photo = next(here.glob("photos/*/*.jpg"))
    if not (here / "link.csv").is_symlink(): (here / "link.csv").symlink_to("model/species.json")
    before, listed = photos_of(here), sorted(os.listdir(here))
    status, said, err = run(*(w.format(photo=photo) for w in words), cwd=here)
    assert status in (1, 2) and err.startswith("fishlearn: ") and err.count("\n") == 1 and said == "", (said, err)
    assert "\x1b" not in err and photos_of(here) == before and sorted(os.listdir(here)) == listed


def test_results_of_earlier_runs_are_replaced(here, tmp_path):
    for _ in range(2):
        status, _, err = run("check", "photos", "--csv", tmp_path / "a.csv", "--json", tmp_path / "a.json", "--html", tmp_path / "a.html", cwd=here)
        assert status == 0, err
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "a.html", "a.json"]
    page, table = (tmp_path / "a.html").read_text(), (tmp_path / "a.csv").read_text()
    assert "<img src=x" not in page and "&lt;img src=x onerror" in page
    assert ",'=eel" in table and ",'=cmd()" in table and "'photos" not in table
    assert run("check", tmp_path / "a.csv", "--csv", tmp_path / "b.csv", cwd=here)[0] == 0
    assert (tmp_path / "b.csv").read_text() == table
    assert json.loads((tmp_path / "a.json").read_text())["photos"] == 16


@pytest.mark.parametrize("words", [["check", "photos"], ["predict", "model", "photos"], ["evaluate", "model", "photos"],
                                   ["predict", "model", "gone\x1b[2J.jpg"], ["check", "gone\x1b[2J"], ["nonsense\x1b[2J"],
                                   ["--debug", "check", "gone\x1b[2J"]])
def test_nothing_reaches_the_terminal(here, words):
    _, said, err = run(*words, cwd=here)
    assert "\x1b" not in said + err and (r"\x1b[2J" in said + err)


def test_names_are_escaped_in_the_readme(here):
    text = (here / "model/README.md").read_text()
    assert "<img" not in text and "&lt;img src=x onerror" in text and r"\[x\](javascript:alert(1))\|\`y\`" in text and "\x1b" not in text


def test_modes_of_a_model(here):
    assert stat.S_IMODE((here / "model").stat().st_mode) == 0o750
    assert {stat.S_IMODE(p.stat().st_mode) for p in (here / "model").iterdir()} == {0o640}


def test_streams(here):
    "Answers go through a pipe, after what was printed; a device stays one."
    status, said, err = run("predict", "model", "photos", "--csv", "/dev/stdout", cwd=here)
    assert status == 0 and said.splitlines()[-17].startswith("path,species"), err
    assert run("predict", "model", "photos", "--csv", "/dev/null", cwd=here)[0] == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    if Path("/dev/full").is_char_device():
        status, _, err = run("predict", "model", "photos", "--csv", "/dev/full", cwd=here)
        assert (status, err) == (1, "fishlearn: /dev/full cannot be written: No space left on device; free some space, or choose a "
                                    "place on another disk.\n") and Path("/dev/full").is_char_device()


def test_run_folder_that_was_there(here):
    "It was deleted after a training that succeeded, whatever it held."
    (here / "m.run").mkdir(exist_ok=True)
    (here / "m.run/thesis.txt").write_text("mine")
    status, _, err = run("train", "photos", "--out", "m", "--size", 64, cwd=here)
    assert status == 2 and "is no training of fishlearn, so it is not touched" in err
    assert (here / "m.run/thesis.txt").read_text() == "mine"


def test_photos_in_a_model_folder(here):
    "--force deleted them with the model."
    draw(here / "model2/photos/a.jpg", 0)
    (here / "model2/species.json").write_text("{}")
    status, _, err = run("train", "photos", "--out", "model2", "--force", cwd=here)
    assert status == 2 and "model2 also holds photos, which fishlearn did not write" in err and (here / "model2/photos/a.jpg").exists()


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="mounting needs root")
def test_full_disk_at_save(here, tmp_path):
    "The training is kept, and the sentence says how it goes on."
    if os.system(f"mount -t tmpfs -o size=48m tmpfs {tmp_path} 2>/dev/null"): pytest.skip("mounting is not allowed here")
    words = ["train", here / "photos", "--out", tmp_path / "m", "--size", 64, "--recipe", "probe"]
    try:
        status, _, err = run(*words, cwd=here)
        assert status == 1 and err.count("\n") == 1 and "m cannot be written: No space left on device; free some space" in err, err
        assert os.listdir(tmp_path) == ["m.run"] and "--resume to save the model" in err
        os.system(f"mount -o remount,size=200m {tmp_path}")
        status, said, err = run(*words, "--resume", cwd=here)
        assert status == 0 and "epochs are done" in said, err
        assert os.listdir(tmp_path) == ["m"]
    finally: os.system(f"umount {tmp_path}")


def test_small_cache_disk_refuses_nothing(here, tmp_path):
    "The job goes on without keeping the pixels, and says so."
    script = ("import shutil, sys, collections; real = shutil.disk_usage; usage = collections.namedtuple('usage', 'total used free')\n"
              "shutil.disk_usage = lambda p: usage(10, 9, 1) if 'small' in str(p) else real(p)\nfrom fishlearn.cli import main; main()")
    env = {**os.environ, "FISHLEARN_CACHE": str(tmp_path / "small")}
    p = subprocess.run([sys.executable, "-c", script, "check", "photos", "--json", str(tmp_path / "a.json")], cwd=here, env=env, capture_output=True, text=True)
    assert p.returncode == 0, p.stderr
    assert "but only 1.00B are free" in p.stdout and "Until then they are not kept" in p.stdout
    assert json.loads((tmp_path / "a.json").read_text())["photos"] == 16


def test_demo_overwrites_nothing(here):
    status, _, err = run("demo", here, cwd=here)
    assert status == 2 and "exists already; choose another folder" in err
