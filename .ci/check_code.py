"Rules for the code in notebooks: width, length of functions, parameters, one statement at a time, private names."
import ast
import re
import symtable
from collections import Counter

WIDTH = dict(exported=120, visible=88)
MOST = dict(function_lines=25, parameters=14)
PRIVATE_SHARE = .4
EXPORTS = {"export", "exporti", "exports"}
UNSEEN = EXPORTS | {"hide", "default_exp", "echo", "include"}
MAGIC = re.compile(r"^\s*[%!].*", re.M)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
PATCHES = ("patch", "patch_to", "patch_property")


def flags(lines):
    "The flags of a cell: {'export'} for #| export."
    return {line[2:].split()[0].rstrip(":") for line in lines if line.startswith("#|") and line[2:].strip()}


def plural(n, noun):
    "A number and what it counts."
    return f"{n} {noun}" + "s" * (n != 1)


def wide_lines(lines):
    "The fault of a cell that is too wide for its reader."
    marks = flags(lines)
    kind = "exported" if marks & EXPORTS else "visible"
    if kind == "visible" and marks & UNSEEN: return
    wide = [len(line) for line in lines if len(line) > WIDTH[kind]]
    if wide:
        yield f"{plural(len(wide), f'{kind} line')} longer than {WIDTH[kind]} characters, the longest {max(wide)}"


def parameters(function):
    "How many arguments somebody can name; self, *args and **kwargs are not counted."
    args = function.args
    names = [a.arg for a in args.posonlyargs + args.args + args.kwonlyargs]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def function_faults(function):
    "What is wrong with a function; its signature is not counted."
    lines = function.end_lineno - function.body[0].lineno + 1
    if lines > MOST["function_lines"]:
        yield f"{function.name} has {lines} lines below its signature, more than {MOST['function_lines']}"
    if parameters(function) > MOST["parameters"]:
        yield f"{function.name} has {parameters(function)} parameters, more than {MOST['parameters']}"


def code_faults(lines):
    "What is wrong with an exported cell."
    if not flags(lines) & EXPORTS: return
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, FUNCTIONS): yield from function_faults(node)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Tuple):
            yield f"line {node.lineno} strings statements together with commas; give each a line"


def is_patched(node):
    "Whether a function is added to a class by fastcore's @patch."
    return any(ast.unparse(d).split("(")[0] in PATCHES for d in getattr(node, "decorator_list", []))


def defined_names(lines):
    "Functions, classes and constants that an exported cell adds to its module, dunders and methods left out."
    if not flags(lines) & EXPORTS: return
    for node in ast.parse("\n".join(lines)).body:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and not is_patched(node): yield node.name
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name) and n.id[-2:] != "__")


def bound_names(lines, imports):
    "Names that a cell binds, with or without those it imports."
    symbols = symtable.symtable(MAGIC.sub("", "\n".join(lines)), "cell", "exec").get_symbols()
    return {s.get_name() for s in symbols if s.is_assigned() or imports and s.is_imported()}


def rebinding_faults(cells):
    "Examples that put something else into a module: they would change the notebook's name, and not the module's."
    exported = {name for lines in cells.values() if flags(lines) & EXPORTS for name in bound_names(lines, True)}
    for i, lines in cells.items():
        both = exported & bound_names(lines, False)
        if both and not flags(lines) & EXPORTS:
            yield f"cell {i}: rebinds the module's {', '.join(sorted(both))}; patch a function's __globals__ instead"


def share_faults(names):
    "Whether enough definitions of all modules are private; names are (module, name)."
    private = Counter(name.startswith("_") for _, name in set(names))
    if private[True] < PRIVATE_SHARE * private.total():
        yield f"{private[True]} of {private.total()} definitions are private, fewer than {PRIVATE_SHARE:.0%}"
