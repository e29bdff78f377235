"""The gateway's outside parties (broker, adapter, cloud, releases): whether each answers, since when, what is wrong."""

from dataclasses import dataclass

import structlog

from shared.clock import Clock
from shared.log import FailureLog


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatus:
    """Whether the other end answers, since when, and what is wrong in plain words."""

    link: str
    up: bool
    since_ns: int
    problem: str | None = None


class Link:
    """One link's state; its failures are logged once, and its recovery."""

    def __init__(self, name: str, failure: str, logger: structlog.typing.FilteringBoundLogger, clock: Clock) -> None:
        """`failure` is what the log says when the link fails."""
        self._clock = clock
        self._failures = FailureLog(logger, failure)
        self.status = LinkStatus(link=name, up=False, since_ns=clock.utc_ns(), problem="not tried yet")

    def answered(self, notice: str | None = None) -> None:
        """The other end works; `notice` is what people should know all the same."""
        self._failures.recovered()
        self._become(up=True, problem=notice)

    def failed(self, problem: str) -> None:
        """The other end does not work, for this reason."""
        self._failures.failed(problem)
        self._become(up=False, problem=problem)

    def _become(self, *, up: bool, problem: str | None) -> None:
        since_ns = self.status.since_ns if self.status.up == up else self._clock.utc_ns()
        self.status = LinkStatus(link=self.status.link, up=up, since_ns=since_ns, problem=problem)
