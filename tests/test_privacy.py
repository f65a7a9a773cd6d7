"Nothing is sent anywhere: no host is looked up, and no telemetry leaves its files."
import os
import subprocess
import sys

import pytest

from fishlearn.models.engines import _allows_openvino_telemetry
from fishlearn.samples.fish import sample_fish

WATCHED = """
import sys
def watch(event, args):
    asks = event in ("socket.getaddrinfo", "socket.gethostbyname", "urllib.Request")
    if asks or event in ("socket.connect", "socket.sendto") and isinstance(args[1], tuple):
        print("ASKED", event, args, file=sys.stderr, flush=True)
sys.addaudithook(watch)
if sys.argv[1] == "onnxruntime": sys.modules["openvino"] = None
from fishlearn.cli import main
for words in {jobs}:
    try: main(words)
    except SystemExit as e: assert not e.code, (words, e.code)
assert sys.modules.get("openvino_telemetry") is None and bool(sys.modules.get("openvino")) == (sys.argv[1] == "openvino")
"""


def run_watched(folder, engine, jobs):
    "Run commands; fail if anything is looked up, or a file is left in the home folder or the temporary one."
    home, spare = folder / f"home-{engine}", folder / f"tmp-{engine}"
    for new in (home, spare): new.mkdir()
    env = {k: v for k, v in os.environ.items() if k not in ("CI", "TF_BUILD", "JENKINS_URL", "ORT_DISABLE_TELEMETRY")}
    env |= dict(HOME=str(home), TMPDIR=str(spare), LOCALAPPDATA=str(home), FISHLEARN_CACHE=str(folder / "cache"))
    script = WATCHED.replace("{jobs}", repr(jobs))
    done = subprocess.run([sys.executable, "-c", script, engine], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and "ASKED" not in done.stderr, done.stderr
    left = [str(p.relative_to(folder)) for top in (home, spare) for p in top.rglob("*") if p.is_file()]
    assert [p for p in left if "matplotlib" not in p] == []


def test_nothing_is_sent(tmp_path):
    pytest.importorskip("openvino")
    sample_fish(tmp_path / "photos", per_species=[4, 4] + [0] * 7, size=64)
    train = ["train", "photos", "--out", "model", "--size", "64", "--recipe", "probe"]
    run_watched(tmp_path, "openvino", [["check", "photos"], train, ["predict", "model", "photos"]])
    run_watched(tmp_path, "onnxruntime", [["predict", "model", "photos"]])


def test_consent_stands(tmp_path, monkeypatch):
    "Somebody may want to send statistics."
    monkeypatch.setenv("HOME" if os.name != "nt" else "LOCALAPPDATA", str(tmp_path))
    file = tmp_path / ("intel" if os.name != "nt" else "Intel Corporation") / "openvino_telemetry"
    assert not _allows_openvino_telemetry()
    file.parent.mkdir()
    for text, allowed in (("1", True), ("0", False), ("", False)):
        file.write_text(text)
        assert _allows_openvino_telemetry() == allowed
    done = subprocess.run([sys.executable, "-c", "import os, fishlearn.models.engines; print(os.environ['ORT_DISABLE_TELEMETRY'])"],
                          env={**os.environ, "ORT_DISABLE_TELEMETRY": "0"}, capture_output=True, text=True)
    assert done.stdout == "0\n"
