"""timm without torch's compiler, which costs half of its import and is there to compile only.

torchvision imports `torch._dynamo` for a function that RoIAlign calls, timm for a decorator of
networks that are not built here. Both get stand-ins that import it when they are called.
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
    """Around the first import of timm."""
    if NAMES[0] not in sys.modules:
        package, utils = (Later(name) for name in NAMES)
        vars(package).update(disable=disable, utils=utils, __path__=[])
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


def disable(function=None, recursive=True, **options):
    """`torch.compiler.disable`, with the compiler imported at the first call."""
    if function is None:
        return functools.partial(disable, recursive=recursive, **options)

    @functools.wraps(function)
    def called(*arguments, **named):
        return compiled()(*arguments, **named)

    @functools.cache
    def compiled():
        import torch._dynamo

        return torch._dynamo.disable(function, recursive, **options)

    return called
