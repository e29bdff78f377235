"""The TypeScript mirror of the wire contract names every field of every struct, so that both stay in step."""

import inspect
import re
import typing

import msgspec
import pytest

from edge import health_messages, messages
from tests.e2e.tablet.conftest import TABLET

MIRROR = (TABLET / "src" / "lib" / "messages.ts").read_text(encoding="utf-8")
STRUCTS = [
    struct
    for module in (messages, health_messages)
    for _, struct in inspect.getmembers(module, inspect.isclass)
    if issubclass(struct, msgspec.Struct) and struct.__module__ == module.__name__
]
TYPESCRIPT = {int: "number", float: "number", str: "string", bool: "boolean"}


def mirrored(name: str) -> dict[str, str]:
    """Field name -> TypeScript type of one interface of the mirror."""
    body = re.search(rf"export interface {name} {{\n(.*?)\n}}", MIRROR, re.DOTALL)
    assert body is not None, f"messages.ts has no interface {name}"
    return dict(re.findall(r"^  (\w+): (.+);$", body.group(1), re.MULTILINE))


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: str(struct.__name__))
def test_mirror_when_struct_has_fields_then_interface_has_the_same(struct: type[msgspec.Struct]) -> None:
    """An interface has exactly the struct's wire fields, and its tag where it has one."""
    fields = mirrored(struct.__name__)
    tag = struct.__struct_config__.tag
    if tag is not None:
        assert fields.pop("type") == f'"{tag}"'
    assert set(fields) == set(struct.__struct_encode_fields__)


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: str(struct.__name__))
def test_mirror_when_field_is_plain_then_type_agrees(struct: type[msgspec.Struct]) -> None:
    """Numbers, strings and truth values keep their type; what may be missing is `| null`."""
    fields = mirrored(struct.__name__)
    for name, hint in typing.get_type_hints(struct).items():
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        optional = type(None) in typing.get_args(hint)
        plain = TYPESCRIPT.get(options[0] if optional and len(options) == 1 else hint)
        if plain is not None:
            assert fields[name] == (f"{plain} | null" if optional else plain), f"{struct.__name__}.{name}"
        assert fields[name].endswith("| null") is optional, f"{struct.__name__}.{name}"
