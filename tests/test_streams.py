"Open files, pipes and names in /proc as targets; a script stands for a command."
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("model", "photos"): Path(name).mkdir()
    Path("table.csv").write_text("path,label\nphotos/a.jpg,cod\n")
    Path("model/species.json").write_text("{}")
    Path("photos/a.jpg").write_bytes(b"\xff\xd8\0")
    Path("to_stdout").symlink_to("/dev/stdout")


def shell(script, how):
    "Run a script with redirections; return its status and the errors."
    p = subprocess.run(["bash", "-c", f"exec {how}; {sys.executable} -c '{script}'; exit $?"], capture_output=True, text=True)
    return p.returncode, p.stderr


CHECK = "import os; from fishlearn.commands.common import _check_targets; _check_targets(\"table.csv\", os.path.expandvars(\"{}\"))"


@pytest.mark.parametrize("target, how", [
    ("/proc/self/cwd/photos/a.jpg", ""), ("/proc/self/cwd/table.csv", ""), ("/proc/self/root$PWD/model/species.json", ""),
    ("/proc/self/fd/0", "< table.csv"), ("/dev/fd/0", "<> table.csv"), ("/dev/stdin", "< table.csv"), ("/dev/stdout", ">> table.csv"),
    ("/dev/fd/7", "7>> photos/a.jpg"), ("to_stdout", ">> table.csv"), ("/proc/thread-self/fd/1", ">> model/species.json"),
    ("/proc/$ME/fd/7", "7>> new.csv; export ME=$$"), ("new.csv", "> new.csv"), ("new.csv", "2> new.csv")])
def test_no_way_round_the_checks(target, how):
    before = {p: p.read_bytes() for p in Path().rglob("*") if p.is_file() and p.name != "new.csv"}
    status, err = shell(CHECK.format(target), how)
    err = err or (Path("new.csv").read_text() if Path("new.csv").exists() else "")
    assert status == 1 and "ArgumentError" in err and "; name " in err
    assert {p: p.read_bytes() for p in before} == before


@pytest.mark.parametrize("target, how", [("/dev/stdout", "> new.csv"), ("/dev/stdout", ">> new.csv"), ("to_stdout", "> new.csv"),
                                         ("/dev/fd/7", "7> new.csv"), ("/dev/null", ""), ("new.csv", "> log.txt 2>&1")])
def test_what_may_be_written(target, how): assert shell(CHECK.format(target), how) == (0, "")


@pytest.mark.parametrize("target", ["/dev/stdout", "to_stdout", "/proc/self/fd/1", "/dev/fd/7"])
@pytest.mark.parametrize("how", [">", ">>"])
def test_table_and_prints_in_one_file(target, how):
    "What was printed later overwrote the beginning of the table, and a link to /dev/stdout replaced the log."
    Path("log.txt").write_text("old\n")
    script = f"from fishlearn.files import _write_file; print(1); _write_file(\"{target}\", \"table\\n\"); print(2)"
    assert shell(script, f"{how} log.txt 7>&1") == (0, "")
    assert Path("log.txt").read_text() == ("old\n" if how == ">>" else "") + "1\ntable\n2\n"


def test_reader_that_has_gone():
    "`| head` ends the printing, not the job."
    script = "from fishlearn.files import _write_file\nfor i in range(9): _write_file(\"/dev/stdout\", \"x\" * 10**5)\n_write_file(\"new.csv\", \"x\")"
    assert shell(script, "> >(head -c 1 > /dev/null)") == (0, "") and Path("new.csv").exists()


JOB = """
import os
from pathlib import Path
from fishlearn import cli
from fishlearn.commands.common import _app
from fishlearn.messages import logger
@_app.command()
def job():
    from fishlearn.commands.common import _print_table
    from fishlearn.files import _write_file
    Path(\\"opened\\").open(\\"w\\").close()
    for i in range(3000):
        print(\\"x\\" * 100, flush=i % 9 == 0)
        _print_table([[1, 2]], [\\"a\\", \\"b\\"]) if i % 99 == 0 else logger.info(\\"y\\") if i % 50 == 0 else None
    _write_file(\\"result.json\\", \\"[]\\")
cli.main([\\"job\\"])
"""


def test_closed_and_full_streams():
    "A result that was asked for was silently missing after `| head`, and closed streams were internal errors."
    for how in ("> >(head -n 1 > /dev/null) 2>&1", ">&-", "2>&-", "<&-", "<&- >&- 2>&-"):
        Path("result.json").unlink(missing_ok=True)
        assert shell(JOB.replace('\\"', '"'), how) == (0, "") and Path("result.json").read_text() == "[]", how
        assert Path("opened").read_text() == ""


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full")
def test_full_disk_behind_the_output():
    "The files are written, and the sentence says what is missing."
    status, err = shell(JOB.replace('\\"', '"'), "> /dev/full")
    assert status == 1 and Path("result.json").exists()
    assert err == ("fishlearn: the standard output cannot be written: No space left on device; free some space, or choose a place "
                   "on another disk.\n")


def test_no_result_goes_to_a_closed_stream():
    "Its number was given to the next file."
    script = JOB.replace('\\"', '"').replace("result.json", "/dev/stdout").replace("print(", "0 and print(")
    status, err = shell(script.replace("    from fishlearn.files import", "    from fishlearn.files import _check_file; _check_file(\"/dev/stdout\")\n    from fishlearn.files import"), ">&-")
    assert status == 2 and "/dev/stdout is open for reading only" in err
