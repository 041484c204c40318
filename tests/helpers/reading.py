"""Takes code out of notebooks: a definition by its name, a hidden solution by its number."""

import ast
import re

import nbformat
from places import NOTEBOOKS


def cells(name, kind):
    """The sources of a notebook's cells of one kind ("code" or "markdown")."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    return [cell.source for cell in notebook.cells if cell.cell_type == kind]


def definition(name, function, **names):
    """The first definition of a function or class in a notebook, found in its syntax tree."""
    for source in cells(name, "code"):
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == function:
                exec(compile(ast.Module([node], []), name, "exec"), names)
                return names[function]
    raise LookupError(f"{name} does not define {function}")


def answer_names(name):
    """What the notebook checks: {exercise number: name of the reader's function}."""
    return dict(re.findall(r'^check\("([\w.]+)", (\w+)\)', "\n".join(cells(name, "code")), re.M))


def solution(name, number, **names):
    """The function of a hidden solution."""
    head = f":::{{solution}} ex-{number.replace('.', '-')}\n:class: dropdown\n"
    (text,) = (source for source in cells(name, "markdown") if source.startswith(head))
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    exec(compile(code, f"{name}, solution {number}", "exec"), names)
    return names[answer_names(name)[number]]
