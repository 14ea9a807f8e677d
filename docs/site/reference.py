"""The reference: every public name by topic, from its docstring.

What is public is what completion shows: ``dir()`` of ``jaxspike`` and of its rooms. Nothing is
listed by hand, so a new name appears by itself.
"""

import inspect
import types

from topics import FAMILIES, GUIDES, TITLES

import jaxspike as js

ALIASES = {  # of types, whose docstrings are those of their kind
    "jaxspike.Param": "The annotation of a neuron's parameter: a number, or an array of numbers.",
}


def topics():
    """From the name of each page to the public names on it, dotted and with ``jaxspike``."""
    found = {topic: [] for topic in TITLES}
    for name in dir(js):
        value = getattr(js, name)
        if isinstance(value, types.ModuleType):
            if not value.__name__.startswith("jaxspike."):
                continue
            found.setdefault(name, []).extend(_room(value))
        else:
            own = getattr(value, "__module__", "").startswith("jaxspike.neurons")
            summary = name == "summary"
            topic = "neurons" if own else "debug" if summary else "time"
            found[topic].append(f"jaxspike.{name}")
    models = {name.rpartition(".")[2] for name in found["neurons"] if name.count(".") == 1}
    found["neurons"] = [n for n in found["neurons"] if n.count(".") == 1 or _last(n) not in models]
    return {topic: sorted(names, key=_order) for topic, names in found.items() if names}


def _room(room):
    for name in dir(room):
        value = getattr(room, name)
        if isinstance(value, types.ModuleType):
            if value.__name__.startswith("jaxspike."):  # not what an import hook has left there
                yield from _room(value)
        elif not name.startswith("_"):
            yield f"{room.__name__}.{name}"


def _last(name):
    return name.rpartition(".")[2]


def _order(name):
    """The bases first, then models, then what belongs to them, such as states."""
    last = _last(name)
    return (
        name.count("."),
        last.endswith(("State", "Traces")),
        name.rpartition(".")[0],
        last.lower(),
    )


def page(topic, names):
    """The page of a topic in MyST Markdown: a table of its names, then each with its docstring."""
    room = getattr(js, topic, None)
    text = inspect.getdoc(room) if isinstance(room, types.ModuleType) else None
    rest = text or "The transformation over time, and what configures it."
    guides = ", ".join(f"[](../{guide}.md)" for guide in GUIDES.get(topic, ()))
    lines = [
        f"# {TITLES.get(topic, topic.capitalize())}",
        f"\nGuides: {guides}.\n" if guides else "",
        "```{eval-rst}",
        f".. py:module:: jaxspike.{topic}\n\n.. py:currentmodule:: None\n" if text else "",
        rest,
        *(_summary(title, names) for title, names in families(topic, names)),
        *(_entry(name) for name in names),
        "```",
    ]
    return "\n".join(lines) + "\n"


def families(topic, names):
    """The names of a page in groups: a title, or an empty one, and names."""
    found, rest = [], [name for name in names if name not in ALIASES]
    for title, members in FAMILIES.get(topic, {}).items():
        group = [n for m in members.split() for n in rest if _last(n) == m]
        found.append((title, group))
        rest = [name for name in rest if name not in group]
    return [*found, ("More" if found else "", rest)]


def _summary(title, names):
    table = "\n".join(f"   ~{name}" for name in names)
    return (
        f"\n{f'**{title}**' if title else ''}\n\n.. autosummary::\n   :nosignatures:\n\n{table}\n"
    )


def _entry(name):
    if name in ALIASES:
        return f".. py:data:: {name}\n\n   {ALIASES[name]}\n"
    module, _, last = name.rpartition(".")
    value = getattr(_find(module), last)
    if inspect.isclass(value):
        return f".. autoclass:: {name}\n   :members:\n"
    kind = "function" if inspect.isroutine(value) else "data"
    return f".. auto{kind}:: {name}\n"


def _find(module):
    found = js
    for part in module.split(".")[1:]:
        found = getattr(found, part)
    return found


def write(target):
    """Write the pages of the reference and their index to the folder ``target``."""
    target.mkdir()
    found = topics()
    for topic, names in found.items():
        (target / f"{topic}.md").write_text(page(topic, names))
    rows = "\n".join(f"{topic}" for topic in found)
    (target / "index.md").write_text(
        "# Reference\n\nEvery public name with its docstring, by topic. "
        "[Every name](../names.md) lists them beside their names in other libraries.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{rows}\n```\n"
    )
