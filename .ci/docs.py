"Render the site without Quarto: nbdev processes the notebooks, smalldocs renders them, a broken link fails."
import json
import re
import shutil
import subprocess
import sys

import yaml
from nbdev.config import get_config, nbpath2html
from nbdev.quarto import refresh_quarto_yml
from nbdev.serve import proc_nbs

QUARTO_ONLY = re.compile(r"^output-file: .*\n", re.M)


def page(name):
    "Name of a notebook's page: 11_photos.ipynb becomes photos.ipynb."
    return nbpath2html(name).with_suffix(".ipynb").name


def localise(proc, site):
    "Give pages their final names and make links between them relative."
    names = {f.name: page(f.name) for f in proc.rglob("*.ipynb")}
    for f in [*proc.rglob("*.ipynb"), *proc.glob("*.yml")]:
        text = f.read_text(encoding="utf-8").replace(site, "../" * (len(f.relative_to(proc).parts) - 1))
        for old, new in names.items(): text = text.replace(old, new)
        f.write_text(text, encoding="utf-8")
    for f in list(proc.rglob("*.ipynb")): f.rename(f.with_name(names[f.name]))


def drop_quarto(proc):
    "Take out what only Quarto reads, so that smalldocs has nothing to complain of."
    config = yaml.safe_load((proc / "_quarto.yml").read_text(encoding="utf-8"))
    config["format"] = {"html": {k: v for k, v in config["format"]["html"].items() if k != "keep-md"}}
    config["website"].update(yaml.safe_load((proc / "sidebar.yml").read_text(encoding="utf-8"))["website"])
    del config["metadata-files"]
    config["project"]["output-dir"] = "_docs"
    (proc / "_quarto.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    for f in proc.rglob("*.ipynb"):
        nb = json.loads(f.read_text(encoding="utf-8"))
        for c in nb["cells"]:
            if c["cell_type"] == "raw": c["source"] = QUARTO_ONLY.sub("", "".join(c["source"]))
        f.write_text(json.dumps(nb), encoding="utf-8")


def main():
    "Render the site, or say what is broken."
    config = get_config()
    refresh_quarto_yml()
    proc = proc_nbs(config.nbs_path, force=True)
    localise(proc, f"{config.doc_host}{config.doc_baseurl}/")
    drop_quarto(proc)
    for words in (["check"], ["render"]):
        if subprocess.run(["smalldocs", *words, proc]).returncode: sys.exit("the site has broken links or pages")
    shutil.rmtree(config.doc_path, ignore_errors=True)
    shutil.move(proc / "_docs", config.doc_path)
    print(f"{len(list(config.doc_path.rglob('*.html')))} pages in {config.doc_path.name}")


if __name__ == "__main__": main()
