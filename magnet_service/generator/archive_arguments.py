"""Arguments of one call: the schema's tagged unions read into plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from magnet_service.errors import DamagedData, UnsupportedOperation
from magnet_service.generator.archive_batch import Size
from magnet_service.generator.archive_json import Field
from magnet_service.generator.archive_tensors import DTYPES
from magnet_service.generator.program import Argument, Constant, Value

__all__ = ["Scope", "read_argument"]

_MEMORY_FORMATS = {1: "contiguous_format", 2: "channels_last", 3: "channels_last_3d", 4: "preserve_format"}
_LAYOUTS = {7: "strided"}


@dataclass(frozen=True)
class Scope:
    """What names stand for while calls are read in order.

    Attributes:
        tensors: the latent, the constants, and the values defined so far.
        symbols: declared sizes by name.
        defined: names of those sizes that a call has defined so far.
    """

    tensors: dict[str, Value | Constant]
    symbols: Mapping[str, Size]
    defined: set[str]

    def tensor(self, name: str, field: Field) -> Value | Constant:
        """Return what the tensor `name` is, or raise `DamagedData` at `field` where nothing has defined it."""
        if name not in self.tensors:
            raise field.damaged("the name of a tensor that was defined before")
        return self.tensors[name]

    def define(self, name: str, field: Field) -> None:
        """Add a value; `DamagedData` where the name is taken."""
        if name in self.tensors:
            raise DamagedData(f"{field.place}: the name {name!r} is defined twice; export the file again.")
        self.tensors[name] = Value(name)

    def define_symbol(self, field: Field) -> None:
        """Note that a call has defined a declared size."""
        if field.text() not in self.symbols:
            raise field.damaged("the name of a declared size")
        self.defined.add(field.text())

    def symbol(self, field: Field) -> Size:
        """Return the size of that name, or raise `DamagedData` where no call has defined it."""
        if field.text() not in self.defined:
            raise field.damaged("the name of a size that was defined before")
        return self.symbols[field.text()]


def read_argument(field: Field, scope: Scope, place: str) -> Argument:
    """Read one argument.

    Arguments:
        field: an `Argument` of the schema, an object whose one key is the kind.
        scope: what names stand for.
        place: which call, for messages.

    Returns:
        A tensor's name, a number, a text, None, `BatchSize()` or a tuple of them. A dtype is given by its torch name
        ("float32"), so are a memory format ("contiguous_format") and a layout ("strided"); a device is "cpu" or "cuda".

    Raises:
        UnsupportedOperation: an argument of a kind that is never read: a subgraph, a custom object, an operator,
            a complex number, a boolean or floating-point symbol.
        DamagedData: the kind and the value do not fit.

    Accuracy: exact.
    """
    kind, value = field.tagged()
    match kind:
        case "as_none":
            return None
        case "as_tensor":
            return scope.tensor(value.get("name").text(), value)
        case "as_tensors":
            return tuple(scope.tensor(item.get("name").text(), item) for item in value.items())
        case "as_optional_tensor":
            return _optional(value, scope)
        case "as_optional_tensors":
            return tuple(_optional(item, scope) for item in value.items())
        case "as_int":
            return value.integer()
        case "as_ints":
            return tuple(item.integer() for item in value.items())
        case "as_int_lists":
            return tuple(tuple(item.integer() for item in row.items()) for row in value.items())
        case "as_float":
            return value.number()
        case "as_floats":
            return tuple(item.number() for item in value.items())
        case "as_float_lists":
            return tuple(tuple(item.number() for item in row.items()) for row in value.items())
        case "as_bool":
            return value.boolean()
        case "as_bools":
            return tuple(item.boolean() for item in value.items())
        case "as_string":
            return value.text()
        case "as_strings":
            return tuple(item.text() for item in value.items())
        case "as_sym_int":
            return _size(value, scope)
        case "as_sym_ints":
            return tuple(_size(item, scope) for item in value.items())
        case "as_scalar_type":
            return _named({code: str(dtype).removeprefix("torch.") for code, dtype in DTYPES.items()}, value)
        case "as_memory_format":
            return _named(_MEMORY_FORMATS, value)
        case "as_layout":
            return _named(_LAYOUTS, value)
        case "as_device":
            return value.get("type").text()
    raise UnsupportedOperation(
        f"{place}: an argument of kind {kind[:60]!r} is not read; write the generator without control flow, custom "
        f"objects and complex numbers, and export it again.",
        metadata={"place": place, "kind": kind[:60]},
    )


def _optional(field: Field, scope: Scope) -> Argument:
    kind, value = field.tagged()
    return None if kind == "as_none" else scope.tensor(value.get("name").text(), value)


def _size(field: Field, scope: Scope) -> Size:
    kind, value = field.tagged()
    return value.integer() if kind == "as_int" else scope.symbol(value)


def _named(names: Mapping[int, str], field: Field) -> str:
    code = field.integer()
    if code not in names:
        raise field.damaged(f"one of the codes {sorted(names)}")
    return names[code]
