"Make nbs/api.ipynb, every public name on one page, from fishlearn/; with --check only say whether it is fresh."
import ast
import json
import re
import sys
from functools import cache
from itertools import groupby
from pathlib import Path

import typer
from check_code import FUNCTIONS

PAGE = Path("nbs/api.ipynb")
INTRO = """# API at a glance

> Every command and every public name on one page, package by package."""
START = """Most work needs two names:

```python
from fishlearn.core import train_species_model, SpeciesModel
```

All others are imported from their module: `from fishlearn.data.photos import photo_table`. \
Modules without public names are listed as well, so that this page shows where each thing is done. \
[CONTRIBUTING](https://github.com/fishlearn/fishlearn/blob/main/CONTRIBUTING.md) says which package may import \
from which, and where new code goes. \
To learn fishlearn step by step, start with the [tutorials](tutorials/studies.ipynb)."""
COMMON_OPTIONS = "Every command also takes `--quiet` (`-q`), `--verbose` (`-v`) and `--help`.\n"
NOTEBOOK = re.compile(r"File to edit: (?:\.\./)+nbs/(\S+)\.$", re.M)
LONGEST = 48  # of a default or a constant; longer ones are left out
UNTYPED = ("_", "before_", "after_", "forward", "state_dict", "load_state_dict")  # called by fastai and PyTorch
ORDER = ("core cli commands deploy evaluation reports data splits train models callbacks samples bench "
         "messages errors cache processes files").split()  # what a user needs first comes first
HEAD = ["| call | what it does |", "|---|---|"]


def cell(text):
    "A text that doesn't end a cell of a table."
    return text.replace("|", r"\|").replace("\n", " ")


def default(node):
    "The default of a parameter or a field, as one would write it."
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "field":
        given = {k.arg: k.value for k in node.keywords}
        return "{}" if "default_factory" in given else ast.unparse(given["default"])
    text = ast.unparse(node)
    return text if len(text) <= LONGEST else "…"


def parameters(function):
    "Parameters of a function as one writes them, without types."
    args = function.args
    plain = args.posonlyargs + args.args
    given = [None] * (len(plain) - len(args.defaults)) + args.defaults
    star = [f"*{args.vararg.arg}"] if args.vararg else ["*"] * bool(args.kwonlyargs)
    written = lambda a, v: a.arg if v is None else f"{a.arg}={default(v)}"
    both = [written(a, v) for a, v in zip(plain, given) if a.arg not in ("self", "cls")]
    rest = [written(a, v) for a, v in zip(args.kwonlyargs, args.kw_defaults)]
    return both + star + rest + ([f"**{args.kwarg.arg}"] if args.kwarg else [])


@cache
def classes():
    "Every class of the package, by name."
    trees = [ast.parse(f.read_text(encoding="utf-8")) for f in Path("fishlearn").rglob("*.py")]
    return {n.name: n for tree in trees for n in tree.body if isinstance(n, ast.ClassDef)}


def bases(node):
    "The classes that a class is made of, itself last."
    own = [classes()[name] for name in map(ast.unparse, node.bases) if name in classes()]
    return [*(p for parent in own for p in bases(parent)), node]


def call(node):
    "How an object of a class is made: its arguments, or the class it is like."
    parts = bases(node)
    inits = [n for part in parts for n in part.body if isinstance(n, FUNCTIONS) and n.name == "__init__"]
    if inits: return call_of(parameters(inits[-1]))
    outer = [name for part in parts for name in map(ast.unparse, part.bases) if name not in classes()]
    if "Exception" in outer: return "(exception)"
    fields = {f.target.id: f.value for part in parts for f in part.body if isinstance(f, ast.AnnAssign)}
    if fields: return call_of([name + (f"={default(v)}" if v else "") for name, v in fields.items()])
    return f"(as `{outer[-1]}`)" if outer else call_of([])


def call_of(words):
    "Parameters in brackets."
    return f"`({', '.join(words)})`"


def row(name, call, says):
    "A line of a table; nbdev makes a link of the name."
    return f"| `{name}` {cell(call)} | {cell(says)} |"


def says(node):
    "The first line of a docstring."
    return (ast.get_docstring(node) or "").split("\n")[0]


def methods(owner):
    "Rows of the methods of a class that somebody types and that say what they do."
    own = {n.name: n for part in bases(owner) for n in part.body if isinstance(n, FUNCTIONS)}
    for name, n in own.items():
        if name.startswith(UNTYPED) or not says(n): continue
        is_property = any("prop" in ast.unparse(d) for d in n.decorator_list)
        yield row(f"{owner.name}.{name}", "(property)" if is_property else call_of(parameters(n)), says(n))


def constant(node, lines):
    "A constant: its value, or the names in it, and the comment behind it."
    value, comment = node.value, lines[node.lineno - 1].partition("  # ")[2]
    keys = [k.arg for k in getattr(value, "keywords", [])]
    return ", ".join(f"`{k}`" for k in keys) or f"`{default(value)}`", comment[:1].upper() + comment[1:]


def rows(node, names, page, lines):
    "Rows of what one statement of a module defines for everybody."
    if isinstance(node, ast.Assign):
        targets = [t.id for t in node.targets if isinstance(t, ast.Name) and t.id in names]
        return ["| [`{}`]({}) = {} | {} |".format(n, page, *map(cell, constant(node, lines))) for n in targets]
    if getattr(node, "name", None) not in names: return []
    if isinstance(node, ast.ClassDef): return [row(node.name, call(node), says(node)), *methods(node)]
    return [row(node.name, call_of(parameters(node)), says(node))]


def public_names(tree):
    "A module's `__all__`."
    given = [n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"]
    return ast.literal_eval(given[0]) if given else []


def module_rows(file):
    "A row that names a module's page, and the rows of its public names."
    text = file.read_text(encoding="utf-8")
    tree, page = ast.parse(text), NOTEBOOK.search(text)
    names = [] if package(file) in ("fishlearn.commands", "fishlearn.cli") else public_names(tree)
    found = [line for node in tree.body for line in rows(node, names, page[1], text.splitlines())]
    return [f"| [**{file.stem}**]({page[1]}) | *{cell(says(tree))}* |", *found]


def package(file):
    "The heading of a module: fishlearn/data/table.py is in fishlearn.data."
    return ".".join(file.parent.parts) if len(file.parts) > 2 else f"fishlearn.{file.stem}"


def place(file):
    "Where a module comes on the page."
    name = package(file).split(".")[-1]
    return ORDER.index(name) if name in ORDER else len(ORDER), package(file), file.stem


def command_rows():
    "A row for each command of the program."
    from fishlearn.cli import _load_commands
    for name, command in typer.main.get_command(_load_commands()).commands.items():
        shown = [p for p in command.params if not getattr(p, "hidden", False)]
        words = [p.name.upper() if p.param_type_name == "argument" else "/".join(p.opts[:1] + p.secondary_opts)
                 for p in shown]
        yield row(f"fishlearn {name}", " ".join(f"`{word}`" for word in words), command.help)


def page_cells():
    "The texts of the page: an introduction, and a table for each package."
    files = sorted((f for f in Path("fishlearn").rglob("[!_]*.py")), key=place)
    yield from (INTRO, START)
    yield "\n".join(["## Commands\n", COMMON_OPTIONS, *HEAD, *command_rows()])
    for name, group in groupby(files, package):
        yield "\n".join([f"## {name}\n", *HEAD, *(line for f in group for line in module_rows(f))])


def notebook(texts):
    "A notebook of texts, written as nbdev-clean leaves it."
    cells = [dict(cell_type="markdown", id=f"a9100{i:03}", metadata={}, source=text.splitlines(True))
             for i, text in enumerate(texts)]
    kernel = dict(display_name="python3", language="python", name="python3")
    nb = dict(cells=cells, metadata=dict(kernelspec=kernel), nbformat=4, nbformat_minor=5)
    return json.dumps(nb, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main():
    "Write the page, or say whether it is stale."
    text = notebook(page_cells())
    fresh = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text
    if "--check" in sys.argv: sys.exit(0 if fresh else f"stale: {PAGE}; run python .ci/api.py")
    if not fresh: PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__": main()
