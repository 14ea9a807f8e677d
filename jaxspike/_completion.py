"""Completion of modules that collect the public names of their files."""

import types


def hide_files(*rooms: types.ModuleType, but: tuple[types.ModuleType, ...] = ()) -> None:
    """Let ``dir()`` of each module show its public names, without the files that they are in.

    ``but`` are modules that are public themselves.
    """
    for room in rooms:
        public = {name: value for name, value in vars(room).items() if not name.startswith("_")}
        names = [
            n
            for n, value in public.items()
            if not isinstance(value, types.ModuleType) or value in but
        ]
        vars(room)["__dir__"] = lambda names=names: names
