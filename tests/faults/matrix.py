"""All rows of the fault matrix, in the order of their numbers."""

from tests.faults.arm import Arm
from tests.faults.gateway_rows import GATEWAY_ROWS
from tests.faults.store_rows import STORE_ROWS

ARMS: tuple[Arm, ...] = (*STORE_ROWS, *GATEWAY_ROWS)
