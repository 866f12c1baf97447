"""timm and torch's optimisers without torch's compiler, which is there to compile only.

Its import costs 1.2 CPU seconds, as much as all else of torch. torchvision imports `torch._dynamo`
for a function that RoIAlign calls, timm for a decorator of networks that are not built here, an
optimiser to keep the compiler out of its steps. They get stand-ins. As long as nobody else has
imported the compiler there is nothing to keep it out of.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from types import ModuleType

NAMES = ("torch._dynamo", "torch._dynamo.utils")


class Later(ModuleType):
    """In a module's place while others are imported; asked for anything else, it is the module."""

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        forget()
        import torch._dynamo.utils  # noqa: F401

        return getattr(sys.modules[self.__name__], name)


@contextlib.contextmanager
def compiler_later():
    """Around the first import of timm, and around what an optimiser does."""
    if NAMES[0] not in sys.modules:
        package, utils = (Later(name) for name in NAMES)
        vars(package).update(disable=disable, graph_break=graph_break, utils=utils, __path__=[])
        vars(utils).update(is_compile_supported=is_compile_supported)
        sys.modules.update(zip(NAMES, (package, utils)))
    try:
        yield
    finally:
        forget()


def forget() -> None:
    """From here on the names mean torch's own modules."""
    for name in NAMES:
        if isinstance(sys.modules.get(name), Later):
            del sys.modules[name]


def is_compile_supported(device_type: str) -> bool:
    from torch._dynamo.utils import is_compile_supported

    return is_compile_supported(device_type)


def graph_break(**_options) -> None:
    """Nothing is compiled, so there is no graph."""


def disable(function=None, recursive=True, **options):
    """`torch.compiler.disable`, once the compiler is there; until then the function itself."""
    if function is None:
        return functools.partial(disable, recursive=recursive, **options)

    @functools.wraps(function)
    def called(*arguments, **named):
        compiler = sys.modules.get(NAMES[0])
        if compiler is None or isinstance(compiler, Later):
            return function(*arguments, **named)
        return kept_out()(*arguments, **named)

    @functools.cache
    def kept_out():
        import torch._dynamo

        return torch._dynamo.disable(function, recursive, **options)

    return called
