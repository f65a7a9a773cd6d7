"Make README.md from nbs/index.ipynb; with --check only say whether it is fresh."
import re
import sys

import nbformat
from nbconvert import MarkdownExporter
from nbdev.config import get_config, nbpath2html
from traitlets.config import Config

IMAGES = "nbs/images"
ALT = dict(jpg="nine synthetic fish, one of each species",
           png="accuracy of the same models on a random and on an honest split")


def exporter():
    "Markdown without hidden cells, hidden sources or flag lines."
    settings = Config()
    settings.TagRemovePreprocessor.enabled = True
    settings.TagRemovePreprocessor.remove_cell_tags = {"hide"}
    settings.TagRemovePreprocessor.remove_input_tags = {"echo"}
    settings.NbConvertBase.display_data_priority = ["image/jpeg", "image/png", "text/markdown", "text/plain"]
    return MarkdownExporter(config=settings)


def tag_flags(nb):
    "Turn nbdev's flag lines into tags."
    for cell in nb.cells:
        lines = cell.source.splitlines()
        flags = [line for line in lines if line.startswith("#|")]
        if cell.cell_type != "code": continue
        cell.metadata["tags"] = ["hide"] * ("#| hide" in flags) + ["echo"] * ("#| echo: false" in flags)
        cell.source = "\n".join(line for line in lines if line not in flags)
    return nb


def render(root, site):
    "README text and its pictures, by path."
    nb = tag_flags(nbformat.read(root / "nbs/index.ipynb", as_version=4))
    nb.metadata["language_info"] = {"name": "python"}
    text, resources = exporter().from_notebook_node(nb)
    pictures = {f"{IMAGES}/{name}": data for name, data in resources["outputs"].items()}
    alt = lambda m: ALT["jpg" if m[1].endswith("jpg") else "png"]
    text = re.sub(r"!\[[^\]]*\]\((output_[^)]+)\)", lambda m: f"![{alt(m)}]({IMAGES}/{m[1]})", text)
    link = lambda m: f"]({site}{nbpath2html(m[1]).as_posix()})"
    text = re.sub(r"\]\(([^):]+\.ipynb)\)", link, text)
    return re.sub(r"\n(?:[ \t]*\n){2,}", "\n\n", text).strip() + "\n", pictures


def main():
    "Write README and its pictures, or say what is stale."
    config = get_config()
    root = config.config_path
    text, pictures = render(root, f"{config.doc_host}{config.doc_baseurl}/")
    files = {"README.md": text.encode(), **pictures}
    stale = [name for name, data in files.items() if not (root / name).is_file() or (root / name).read_bytes() != data]
    if "--check" in sys.argv: sys.exit(f"stale: {', '.join(stale)}; run python .ci/readme.py" if stale else 0)
    for name in stale:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(files[name])


if __name__ == "__main__": main()
