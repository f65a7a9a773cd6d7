"The command line: what is imported, what is written, what is refused; every training option is defined once."
import json
import os
import subprocess
import sys
from dataclasses import fields

import pytest
from fastcore.docments import docments

from fishlearn.commands.train import _option_help, train
from fishlearn.data.box_files import BoxOptions
from fishlearn.samples.fish import sample_fish
from fishlearn.train.config import _RENAMED, SplitConfig, TrainingConfig


def run(*words, cwd=None):
    "Run a command; return its status, output and errors."
    p = subprocess.run([sys.executable, "-m", "fishlearn.cli", *map(str, words)], cwd=cwd, text=True, capture_output=True,
                       env={**os.environ, "COLUMNS": "100"})
    return p.returncode, p.stdout, p.stderr


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    "A folder with photos, and a model of them."
    folder = tmp_path_factory.mktemp("cli")
    sample_fish(folder / "photos", per_species=8, size=96)
    status, _, err = run("train", "photos", "--out", "model", "--size", 96, "-q", cwd=folder)
    assert status == 0, err
    return folder


def test_options_are_defined_once():
    "Every field of the configurations is an option with its comment as help, and nothing else is."
    import inspect
    names = [f.name for c in (SplitConfig, TrainingConfig) for f in fields(c)]
    assert len(set(names)) == len(names)
    own = {"photos", "out", "label_re", "label_col", "path_col", "group_col", "label_delim", "resume", "force"}
    own |= set(BoxOptions._fields)
    assert set(inspect.signature(train).parameters) == own | set(names) | set(_RENAMED)
    status, said, _ = run("train", "--help")
    assert status == 0 and all(f"--{n.replace('_', '-')}" in said for n in names)
    assert not any(f"--{n} " in said for n in _RENAMED)


@pytest.mark.parametrize("cls", [SplitConfig, TrainingConfig])
def test_help_texts_are_docments(cls):
    ours, theirs = _option_help(cls), docments(cls, full=True)
    assert ours == {f.name: " ".join(theirs[f.name].docment.split()) for f in fields(cls)}
    assert all(ours.values())


@pytest.mark.parametrize("words, heavy", [(["--help"], []), (["predict", "model", "photos/labels.csv"], ["numpy"])])
def test_start_up(here, words, heavy):
    "`--help` imports no NumPy, `predict` no PyTorch."
    script = f"import sys; from fishlearn.cli import main\ntry: main({words!r})\nexcept SystemExit: pass\n" \
             "print([m for m in ('numpy', 'torch', 'fastai') if m in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], cwd=here, capture_output=True, text=True)
    assert done.stderr.strip() == str(heavy)


def test_check(here, tmp_path):
    "The CSV of `check` is the photo table, and can be checked again; no output overwrites the input."
    sample_fish(tmp_path / "photos", per_species=4, size=96, broken=1)
    status, said, err = run("check", "photos", "--csv", "checked.csv", "--json", "card.json", "--html", "card.html", cwd=tmp_path)
    assert (status, "Traceback" in err) == (0, False)
    checked = (tmp_path / "checked.csv").read_text().splitlines()
    assert checked[0] == "path,label,group,split,status,reason,mask,set,format,mode,width,height,camera,bytes,sha256"
    assert (len(checked), json.loads((tmp_path / "card.json").read_text())["photos"]) == (37, 35)
    assert run("check", "checked.csv", "--csv", "checked.csv", cwd=tmp_path)[0] == 2
    assert run("check", "checked.csv", "--csv", "again.csv", cwd=tmp_path)[0] == 0
    assert (tmp_path / "again.csv").read_text().splitlines()[1:3] == checked[1:3]


def test_predict_and_evaluate(here):
    status, said, _ = run("predict", "model", "photos/Delineops altus/00001.jpg", "gone.jpg", cwd=here)
    assert status == 0 and "file not found" in said
    assert run("predict", "model", "photos/Fictiops zonatus", "--csv", "answers.csv", cwd=here)[:2] == (0, "")
    assert len((here / "answers.csv").read_text().splitlines()) == 9
    assert run("evaluate", "model", "photos", "--json", "scores.json", cwd=here)[0] == 0
    scores = json.loads((here / "scores.json").read_text())
    assert {"n", "accuracy", "accuracy_ci", "balanced_accuracy", "macro_f1", "ece", "per_species"} <= set(scores)


def test_old_options(here, tmp_path):
    "`--fit` and `--keep` still work, and say what they are called now."
    status, said, err = run("train", "photos", "--out", tmp_path / "m", "--fit", "pad", "--keep", "model", "--size", "64", cwd=here)
    assert status == 0, err
    assert "fit is now called resize" in said and "keep is now called previous_split" in said
    assert json.loads((tmp_path / "m/species.json").read_text())["preprocessing"]["resize"] == "pad"


def test_quiet(here):
    "`-q` leaves the results and nothing else."
    loud, quiet = (run("evaluate", "model", "photos", *words, cwd=here) for words in ([], ["-q"]))
    assert "72 photos of 9 species" in loud[1] and "72 photos of 9 species" not in quiet[1]
    assert "accuracy" in quiet[1] and "predict" not in quiet[2]


@pytest.mark.parametrize("words, status, sentence", [
    (["train", "photos", "--out", "model"], 2, "model exists already"),
    (["train", "nothing", "--out", "m"], 1, "nothing"),
    (["train", "photos", "--out", "m", "--label-re", "^x(.+)"], 2, "matches none of the 72 file names or paths"),
    (["train", "photos/labels.csv", "--out", "m", "--group-col", "boat"], 2, "There is no column 'boat'"),
    (["train", "photos", "--out", "m", "--arch", "resnet35"], 2, "There is no arch 'resnet35'"),
    (["train", "photos", "--out", "m", "--size", "64x"], 2, "--size 64x is not a size"),
    (["train", "photos", "--out", "m", "--resize", "crop"], 2, "'crop'"),
    (["train", "photos", "--out", "m", "--recipe", "probe", "--epochs", "3"], 2, "The recipe 'probe' has no epochs"),
    (["train", "photos", "--out", "m", "--balance", "even"], 2, "'even'"),
    (["train", "photos"], 2, "Missing option '--out'"),
    (["predict", "photos", "a.jpg"], 2, "photos is not a model folder"),
    (["predict", "model", "gone.jpg"], 1, "")])
def test_refused(here, words, status, sentence):
    "One sentence, the right status, no traceback, and nothing is written."
    (here / "nothing").mkdir(exist_ok=True)
    got, _, err = run(*words, cwd=here)
    assert (got, sentence in err, "Traceback" in err) == (status, True, False), err
    assert not (here / "m").exists()


def test_cache_and_bench(here, tmp_path, monkeypatch):
    monkeypatch.setenv("FISHLEARN_CACHE", str(tmp_path / "cache"))
    assert run("check", "photos", cwd=here)[0] == 0
    status, said, _ = run("cache", cwd=here)
    assert status == 0 and "pixels 128×128" in said
    status, said, err = run("bench", "photos", "--only", "reading", "--json", "b.json", "--csv", "b.csv", "--chart", "b.png", cwd=here)
    assert status == 0, err
    assert [c["what"] for c in json.loads((here / "b.json").read_text())["found"]] == ["check and decode 72 photos"]
    assert len((here / "b.csv").read_text().splitlines()) == 2 and (here / "b.png").stat().st_size > 5000
    assert run("cache", "--clear", cwd=here)[1].split()[0] == "0"


@pytest.mark.parametrize("error", ["MemoryError()", "OSError(12, 'Cannot allocate memory')", "RuntimeError('std::bad_alloc')",
                                   "RuntimeError(\"can't start new thread\")",
                                   "ImportError('libx.so: failed to map segment from shared object')",
                                   "RuntimeError('CUDA out of memory. Tried to allocate 2 GiB')"])
def test_too_little_memory_is_one_sentence(error):
    script = (f"from fishlearn.cli import main; from fishlearn.commands.common import _app\n"
              f"@_app.command()\ndef fail(): raise {error}\nmain(['fail'])")
    done = subprocess.run([sys.executable, "-c", script], text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (1, "fishlearn: there is not enough memory; close other programs, "
                                                 "or use a computer with more.\n")


def test_a_demo_that_is_stopped_can_be_started_again(tmp_path, monkeypatch):
    "Photos that were half drawn were in its way."
    from fishlearn.commands.train import demo
    def stopped(folder, *args, **kwargs):
        folder.mkdir(parents=True)
        (folder / "a.jpg").touch()
        raise KeyboardInterrupt
    monkeypatch.setattr("fishlearn.samples.fish.sample_fish", stopped)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt): demo(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_no_warning_where_memory_cannot_be_shared():
    script = ("from fishlearn.cli import main; from fishlearn.commands.common import _app; import warnings\n@_app.command()\n"
              "def warn(): warnings.warn('[Errno 28] No space left on device.  joblib will operate in serial mode')\nmain(['warn'])")
    assert subprocess.run([sys.executable, "-c", script], text=True, capture_output=True).stderr == ""


def test_hidden_names_are_not_shown():
    from fishlearn.cli import _sentence
    hidden = "/data/.fish.csv.94a99db1-28817-3811b50052f4b336.part/fish.csv"
    assert _sentence(OSError(27, "File too large", hidden)).startswith("a file in /data cannot be written: File too large; ")
    assert _sentence(OSError(27, "File too large", "/data/fish.csv")).startswith("/data/fish.csv cannot be written: ")
    assert _sentence(OSError(27, "File too large")).startswith("a file cannot be written: ")
    assert _sentence(OSError(24, "Too many open files", hidden)).startswith("too many files are open; allow more")
