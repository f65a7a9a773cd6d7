"Make nbs/api.ipynb, every public name on one page, from fishlearn/; with --check only say whether it is fresh."
import ast
import json
import re
import sys
from functools import cache
from itertools import groupby
from pathlib import Path

from check_code import FUNCTIONS, is_patched

PAGE = Path("nbs/api.ipynb")
INTRO = "# API at a glance\n\n> Every public name on one page, by package, with the first line of its documentation."
NOTEBOOK = re.compile(r"File to edit: (?:\.\./)+nbs/(\S+)\.$", re.M)
WIDTH = dict(signature=64, default=16)
UNTYPED = ("_", "before_", "after_")  # private, or called by fastai
ORDER = ("core cli commands deploy evaluation reports data splits train models callbacks samples bench "
         "messages errors cache processes files").split()  # what a user needs first comes first


def shorten(text, width):
    "A text that is not too long and has no bar, which would end a cell of a table."
    return text if len(text) <= width and "|" not in text else "…"


def parameters(function):
    "Parameters of a function as one writes them, without types."
    args = function.args
    plain = args.posonlyargs + args.args
    given = [None] * (len(plain) - len(args.defaults)) + args.defaults
    star = [f"*{args.vararg.arg}"] if args.vararg else ["*"] * bool(args.kwonlyargs)
    written = lambda a, v: a.arg if v is None else f"{a.arg}={shorten(ast.unparse(v), WIDTH['default'])}"
    both = [written(a, v) for a, v in zip(plain, given) if a.arg not in ("self", "cls")]
    rest = [written(a, v) for a, v in zip(args.kwonlyargs, args.kw_defaults)]
    return both + star + rest + ([f"**{args.kwarg.arg}"] if args.kwarg else [])


@cache
def classes():
    "Every class of the package, by name."
    trees = [ast.parse(f.read_text(encoding="utf-8")) for f in Path("fishlearn").rglob("*.py")]
    return {n.name: n for tree in trees for n in tree.body if isinstance(n, ast.ClassDef)}


def parents(node):
    "The private classes that a class is made of, the first one first."
    names = [ast.unparse(b) for b in node.bases]
    own = [classes()[name] for name in names if name.startswith("_") and name in classes()]
    return [p for parent in own for p in (*parents(parent), parent)]


def fields(node):
    "Arguments that make an object of a class."
    for part in (node, *reversed(parents(node))):
        for own in part.body:
            if isinstance(own, FUNCTIONS) and own.name == "__init__": return parameters(own)
    parts = [p for p in (*parents(node), node) if any("dataclass" in ast.unparse(d) for d in p.decorator_list)]
    own = [f for p in parts for f in p.body if isinstance(f, ast.AnnAssign)]
    written = [f.target.id + (f"={shorten(ast.unparse(f.value), WIDTH['default'])}" if f.value else "") for f in own]
    return written if parts else None


def signature(words):
    "Parameters in brackets; the last ones are left out where there are too many."
    if words is None: return ""
    kept = list(words)
    while len(", ".join(kept)) > WIDTH["signature"]: kept.pop()
    return f"`({', '.join(kept + ['…'] * (len(kept) < len(words)))})`"


def row(name, words, node):
    "A line of a table; nbdev makes a link of the name."
    says = (ast.get_docstring(node) or "").split("\n")[0].replace("|", r"\|")
    return f"| `{name}` | {signature(words)} | {says} |"


def patched_class(node):
    "The class that fastcore's @patch adds a function to."
    first = node.args.args[:1]
    return ast.unparse(first[0].annotation) if is_patched(node) and first and first[0].annotation else None


def methods(owner, tree):
    "Rows of the methods of a class that somebody types and that say what they do."
    own = [n for part in (*parents(owner), owner) for n in part.body if isinstance(n, FUNCTIONS)]
    patched = [n for n in tree.body if isinstance(n, FUNCTIONS) and patched_class(n) == owner.name]
    public = [n for n in own + patched if not n.name.startswith(UNTYPED) and ast.get_docstring(n)]
    words = lambda n: None if any("prop" in ast.unparse(d) for d in n.decorator_list) else parameters(n)
    return [row(f"{owner.name}.{n.name}", words(n), n) for n in public]


def public_names(tree):
    "A module's `__all__`."
    given = [n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"]
    return ast.literal_eval(given[0]) if given else []


def rows(node, tree, names, page):
    "Rows of what one statement of a module defines for everybody."
    if isinstance(node, ast.ClassDef) and node.name in names:
        return [row(node.name, fields(node), node), *methods(node, tree)]
    if isinstance(node, FUNCTIONS) and node.name in names and not patched_class(node):
        return [row(node.name, parameters(node), node)]
    if not isinstance(node, ast.Assign): return []
    value = shorten(ast.unparse(node.value), WIDTH["signature"])
    targets = [t.id for t in node.targets if isinstance(t, ast.Name) and t.id in names]
    return [f"| [`{name}`]({page}) | `{value}` | |" for name in targets]


def module_rows(file):
    "The rows of a module, below one that names its page; none without public names."
    text = file.read_text(encoding="utf-8")
    tree, page = ast.parse(text), NOTEBOOK.search(text)
    if not page: return []
    names = public_names(tree)
    found = [line for node in tree.body for line in rows(node, tree, names, page[1])]
    says = (ast.get_docstring(tree) or "").split("\n")[0].replace("|", r"\|")
    return [f"| [**{file.stem}**]({page[1]}) | | *{says}* |", *found] if found else []


def package(file):
    "The heading of a module: fishlearn/data/table.py is in fishlearn.data."
    return ".".join(file.parent.parts) if len(file.parts) > 2 else f"fishlearn.{file.stem}"


def place(file):
    "Where a module comes on the page."
    name = package(file).split(".")[-1]
    return ORDER.index(name) if name in ORDER else len(ORDER), package(file), file.stem


def page_cells():
    "The texts of the page: an introduction, and a table for each package."
    files = sorted(Path("fishlearn").rglob("[!_]*.py"), key=place)
    yield INTRO
    for name, group in groupby(files, package):
        if table := [line for f in group for line in module_rows(f)]:
            yield "\n".join([f"## {name}\n", "| name | call | what it does |", "|---|---|---|", *table])


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
