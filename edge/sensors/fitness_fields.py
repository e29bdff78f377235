"""How the Fitness Machine Service packs its measurements: fields behind flags, in the order of the flags' bits.

Source: Fitness Machine Service 1.0, §4.4 (treadmill), §4.8 (rower), §4.9 (indoor bike). Bit 0, "More Data", is
inverted: its fields are there when it is 0. Two fields have another width in the GATT Specification Supplement than in
the service (a resistance of one byte in steps of 10, a pace of two bytes in s/500 m), and machines of both kinds are
sold: the length of the frame tells which, the service's reading standing first.
"""

import struct
from dataclasses import dataclass
from typing import Final

MORE_DATA: Final = 0x0001
KJ_PER_KCAL: Final = 4.184


@dataclass(frozen=True, slots=True)
class Field:
    """The fields that one flag announces.

    `code` is of the struct module, x for what is passed over; 24 bits are two values; `names` are those of its values.
    `supplement` is the code of the other width where there are two.
    """

    bit: int
    code: str
    names: tuple[str, ...] = ()
    supplement: str | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """How to read one combination of flags: the structure and the names of its values."""

    structure: struct.Struct
    names: tuple[str, ...]
    is_supplement: bool

    def read(self, body: bytes) -> dict[str, int]:
        """Return the values that are there by name, as sent."""
        return dict(zip(self.names, self.structure.unpack_from(body), strict=False))  # the names are its values'


# Of the expended energy the total is kept; energy per hour and per minute are passed over.
BIKE: Final = (
    Field(MORE_DATA, "H", ("speed",)),
    Field(0x0002, "2x"),  # average speed
    Field(0x0004, "H", ("cadence",)),
    Field(0x0008, "2x"),  # average cadence
    Field(0x0010, "HB", ("distance", "distance_high")),
    Field(0x0020, "h", ("resistance",), supplement="B"),
    Field(0x0040, "h", ("power",)),
    Field(0x0080, "2x"),  # average power
    Field(0x0100, "H3x", ("energy",)),
    Field(0x0200, "B", ("heart_rate",)),
    Field(0x0400, "x"),  # metabolic equivalent
    Field(0x0800, "H", ("elapsed",)),
    Field(0x1000, "2x"),  # remaining time
)
TREADMILL: Final = (
    Field(MORE_DATA, "H", ("speed",)),
    Field(0x0002, "2x"),  # average speed
    Field(0x0004, "HB", ("distance", "distance_high")),
    Field(0x0008, "h2x", ("incline",)),  # and the ramp's angle
    Field(0x0010, "4x"),  # elevation gained and lost
    Field(0x0020, "x", supplement="2x"),  # pace
    Field(0x0040, "x", supplement="2x"),  # average pace
    Field(0x0080, "H3x", ("energy",)),
    Field(0x0100, "B", ("heart_rate",)),
    Field(0x0200, "x"),  # metabolic equivalent
    Field(0x0400, "H", ("elapsed",)),
    Field(0x0800, "2x"),  # remaining time
    Field(0x1000, "2xh", ("power",)),  # behind the force on the belt
)
ROWER: Final = (
    Field(MORE_DATA, "B2x", ("stroke_rate",)),  # and the count of strokes
    Field(0x0002, "x"),  # average stroke rate
    Field(0x0004, "HB", ("distance", "distance_high")),
    Field(0x0008, "H", ("pace",)),
    Field(0x0010, "2x"),  # average pace
    Field(0x0020, "h", ("power",)),
    Field(0x0040, "2x"),  # average power
    Field(0x0080, "h", ("resistance",), supplement="B"),
    Field(0x0100, "H3x", ("energy",)),
    Field(0x0200, "B", ("heart_rate",)),
    Field(0x0400, "x"),  # metabolic equivalent
    Field(0x0800, "H", ("elapsed",)),
    Field(0x1000, "2x"),  # remaining time
)
KNOWN_FLAGS: Final = 0x1FFF


def compiled(fields: tuple[Field, ...], flags: int, *, supplement: bool) -> Layout:
    """Return the layout of these flags, in the service's widths or in those of the supplement."""
    code = "<2x"
    names: list[str] = []
    for field in fields:
        there = not flags & MORE_DATA if field.bit == MORE_DATA else flags & field.bit
        if there:
            code += field.supplement if supplement and field.supplement else field.code
            names += field.names
    return Layout(struct.Struct(code), tuple(names), supplement)
