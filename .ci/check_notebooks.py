"Size limits and cleanliness of notebooks and their stored outputs, and rules for their code."
import base64
import json
import re
import sys
import tempfile
from pathlib import Path

from check_code import EXPORTS, code_faults, defined_names, flags, rebinding_faults, share_faults, wide_lines

LIMITS = dict(picture=100_000, notebook=300_000, tutorial=500_000, together=5_000_000, export_lines=54)
HERE = "|".join(re.escape(f"{folder}/") for folder in (tempfile.gettempdir(), Path.home(), Path.cwd()))
DIRTY = re.compile(rf"\d+%\||█|Epoch \d+/\d+|Warning:|{HERE}")


def output_texts(output):
    "Every text and picture of a stored output, by kind."
    if "text" in output: yield output.get("name", "text"), "".join(output["text"])
    for kind, data in (output.get("data") or {}).items(): yield kind, data if isinstance(data, str) else "".join(data)


def text_faults(kind, text):
    "What is wrong with a text or picture of a stored output."
    picture = kind.startswith("image/") and "svg" not in kind
    size = len(base64.b64decode(text)) if picture else 0
    if kind == "stderr": yield "text on stderr; rerun with TQDM_DISABLE=1 PYTHONWARNINGS=ignore"
    elif "widget" in kind: yield "widget state"
    elif size > LIMITS["picture"]: yield f"a picture of {size // 1000} KB"
    elif not picture and (found := DIRTY.search(text)):
        yield f"a path of this machine, a warning or a progress bar: {found[0]!r}"


def output_faults(output):
    "What is wrong with a stored output."
    if output["output_type"] == "error": yield "a stored error"
    for kind, text in output_texts(output): yield from text_faults(kind, text)


def cell_faults(cell):
    "What is wrong with a code cell and its outputs."
    lines = source_lines(cell)
    if flags(lines) & EXPORTS and len(lines) > LIMITS["export_lines"]: yield f"an export cell of {len(lines)} lines"
    yield from wide_lines(lines)
    yield from code_faults(lines)
    for output in cell["outputs"]: yield from output_faults(output)


def code_cells(file):
    "The code cells of a notebook, by their place in it."
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    return {i: cell for i, cell in enumerate(cells) if cell["cell_type"] == "code"}


def source_lines(cell):
    "The lines of a cell."
    return "".join(cell["source"]).splitlines()


def notebook_faults(file):
    "What is wrong with a notebook."
    limit = LIMITS["tutorial" if "tutorials" in file.parts else "notebook"]
    if file.stat().st_size > limit: yield f"{file.stat().st_size // 1000} KB, more than {limit // 1000}"
    cells = code_cells(file)
    for i, cell in cells.items(): yield from (f"cell {i}: {fault}" for fault in cell_faults(cell))
    yield from rebinding_faults({i: source_lines(cell) for i, cell in cells.items()})


def folder_faults(folder, files):
    "What is wrong with all notebooks together."
    total = sum(f.stat().st_size for f in files)
    if total > LIMITS["together"]: yield f"{total // 1000} KB together, more than {LIMITS['together'] // 1000}"
    yield from (f"{f.name}: modules belong into notebooks" for f in folder.rglob("*.py"))
    cells = ((f, source_lines(cell)) for f in files for cell in code_cells(f).values())
    yield from share_faults((f, name) for f, lines in cells for name in defined_names(lines))


def main():
    "Print faults by notebook; fail where there are any."
    folder = Path("nbs")
    files = sorted(folder.rglob("*.ipynb"))
    found = {f: list(notebook_faults(f)) for f in files} | {folder: list(folder_faults(folder, files))}
    faults = {f: faults for f, faults in found.items() if faults}
    for f, sentences in faults.items(): print(f, *sentences, sep="\n  ", end="\n\n")
    sizes = f"{len(files)} notebooks, {sum(f.stat().st_size for f in files) // 1000} KB"
    count = sum(map(len, faults.values()))
    print(f"{sizes}: {count} faults in {len(faults)} of them" if faults else f"{sizes}: clean")
    sys.exit(bool(faults))


if __name__ == "__main__": main()
