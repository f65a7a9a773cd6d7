"The installed wheel holds every module and subpackage, the mark of types, the command and the nbdev entry point."
import subprocess
import sys
from pathlib import Path

SCRIPT = """
from importlib.metadata import distribution
from pathlib import Path
d = distribution("fishlearn")
print(*sorted(str(f) for f in d.files if f.suffix in (".py", ".typed")))
print(*sorted(f"{e.group}:{e.name}" for e in d.entry_points))
print(all(map(d.metadata.get, ["Summary", "License-Expression", "Requires-Python"])) and len(d.requires) > 10)
"""


def main(env):
    "Compare the wheel installed in an environment with the sources here."
    python = Path(env) / "bin" / "python"
    done = subprocess.run([python, "-c", SCRIPT], capture_output=True, text=True, check=True, cwd=env)
    files, entries, metadata = done.stdout.splitlines()
    here = sorted(f.as_posix() for f in [*Path("fishlearn").rglob("*.py"), Path("fishlearn/py.typed")])
    if files.split() != here: sys.exit(f"the wheel lacks or adds files: {set(here) ^ set(files.split())}")
    if entries.split() != ["console_scripts:fishlearn", "nbdev:fishlearn"]: sys.exit(f"entry points: {entries}")
    if metadata != "True": sys.exit("the wheel's metadata is incomplete")
    print(f"wheel: {len(here)} files, command and entry point")


if __name__ == "__main__": main(sys.argv[1])
