"""A tablet's socket that can be slow or broken."""

import asyncio


class TabletConnection:
    """Implements edge.ui.hub.Connection."""

    def __init__(self) -> None:
        self.arrived: list[str] = []
        self.broken = False
        self._open = asyncio.Event()
        self._open.set()

    def pause(self) -> None:
        """Take nothing until `resume`."""
        self._open.clear()

    def resume(self) -> None:
        """Take what is sent."""
        self._open.set()

    async def send_text(self, data: str) -> None:
        """Take one message when open."""
        await self._open.wait()
        if self.broken:
            raise ConnectionError("gone")
        self.arrived.append(data)
