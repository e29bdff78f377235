"""All rows of the fault matrix, in the order of their numbers."""

from tests.faults.arm import Arm

ARMS: tuple[Arm, ...] = ()
