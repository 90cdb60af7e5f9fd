"""Shows the settings of a specification in the reference as a table: a field's type, its description and its default, read from the source."""

import ast
from collections.abc import Iterator
from typing import Any

from griffe import Attribute, Class, Docstring, DocstringParameter, DocstringSectionParameters, Extension, Module


class Settings(Extension):
    """Adds a table to the docstring of every class that derives from `palpate.core.spec.Spec`, directly or not."""

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        for one in classes(pkg):
            above = [base for base in one.mro() if base.path != "palpate.core.spec.Spec"]
            if len(above) < len(one.mro()):
                found = {field.name: field for base in (*reversed(above), one) for field in fields(base)}
                one.docstring = one.docstring or Docstring("", parent=one)
                one.docstring.parsed.append(DocstringSectionParameters(list(found.values()), title="Settings:"))
                for name in found:
                    one.members.pop(name, None)  # said in the table


def classes(module: Module) -> Iterator[Class]:
    """Every class of a package."""
    for member in module.members.values():
        if isinstance(member, Class):
            yield member
        elif isinstance(member, Module):
            yield from classes(member)


def fields(one: Class) -> Iterator[DocstringParameter]:
    """The settings that a class declares; described below them or in `Field(default, description=…)`, which is taken apart."""
    for name, member in one.members.items():
        if not isinstance(member, Attribute) or name.startswith("_") or "instance-attribute" not in member.labels:
            continue  # a method, a property or a ClassVar
        value, description = str(member.value or ""), member.docstring.value if member.docstring else ""
        call = ast.parse(value or "None", mode="eval").body
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "Field":
            value = ast.unparse(call.args[0]) if call.args else ""
            texts = [word.value for word in call.keywords if word.arg == "description"]
            description = "".join(str(text.value) for text in texts if isinstance(text, ast.Constant)) or description
        yield DocstringParameter(name, annotation=member.annotation, description=description, value=value)
