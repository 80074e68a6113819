"""What is seen of a request, in the words of whoever counts or traces it."""

from dataclasses import dataclass, field

from proxy.choices import Recorded


@dataclass(frozen=True, slots=True)
class Record:
    """One message's way into the register, in Unix nanoseconds."""

    recorded: Recorded
    began: int
    ended: int


@dataclass(slots=True, kw_only=True)
class Call:
    """One request to the public listener."""

    began: int  # Unix nanoseconds, as `ended`
    ended: int = 0
    method: str = ""
    route: str = ""  # as it is written in the code: never an address that was asked for
    status: int = 0
    code: str | None = None  # of its problem
    request_id: str = ""
    parent: str | None = None  # `traceparent` of a caller who has proved who it is
    records: list[Record] = field(default_factory=list)
