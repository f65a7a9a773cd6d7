"Size limits and cleanliness of notebooks and their stored outputs."
import base64, json, re, sys, tempfile
from pathlib import Path

LIMITS = dict(picture=100_000, notebook=300_000, tutorial=500_000, together=5_000_000, export_lines=40)
DIRTY = re.compile(r"\d+%\||█|Epoch \d+/\d+|Warning:|" + "|".join(map(re.escape, (tempfile.gettempdir() + "/", str(Path.home()) + "/", str(Path.cwd()) + "/"))))


def output_texts(output):
    "Every text and picture of a stored output, by kind."
    if "text" in output: yield output.get("name", "text"), "".join(output["text"])
    for kind, data in (output.get("data") or {}).items(): yield kind, data if isinstance(data, str) else "".join(data)


def output_faults(output):
    "What is wrong with a stored output."
    if output["output_type"] == "error": yield "a stored error"
    for kind, text in output_texts(output):
        picture = kind.startswith("image/") and "svg" not in kind
        if kind == "stderr": yield "text on stderr; rerun with TQDM_DISABLE=1 PYTHONWARNINGS=ignore"
        elif "widget" in kind: yield "widget state"
        elif picture and len(base64.b64decode(text)) > LIMITS["picture"]: yield f"a picture of {len(base64.b64decode(text)) // 1000} KB"
        elif not picture and DIRTY.search(text): yield f"a path of this machine, a warning or a progress bar: {DIRTY.search(text)[0]!r}"


def notebook_faults(file):
    "What is wrong with a notebook."
    limit = LIMITS["tutorial" if "tutorials" in file.parts else "notebook"]
    if file.stat().st_size > limit: yield f"{file.stat().st_size // 1000} KB, more than {limit // 1000}"
    for i, cell in enumerate(json.loads(file.read_text(encoding="utf-8"))["cells"]):
        lines = "".join(cell["source"]).splitlines()
        if "#| export" in lines and len(lines) > LIMITS["export_lines"]: yield f"cell {i}: an export cell of {len(lines)} lines"
        for output in cell.get("outputs", []):
            yield from (f"cell {i}: {fault}" for fault in output_faults(output))


def main():
    files = sorted(Path("nbs").rglob("*.ipynb"))
    faults = [f"{f}: {fault}" for f in files for fault in notebook_faults(f)]
    total = sum(f.stat().st_size for f in files)
    if total > LIMITS["together"]: faults.append(f"nbs: {total // 1000} KB together")
    faults += [f"{f}: modules belong into notebooks" for f in Path("nbs").rglob("*.py")]
    print("\n".join(faults) or f"{len(files)} notebooks, {total // 1000} KB: clean")
    sys.exit(bool(faults))


if __name__ == "__main__": main()
