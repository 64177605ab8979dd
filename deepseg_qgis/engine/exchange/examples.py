"""How many there are of something, and the first few by name: what a log line needs."""

from __future__ import annotations

from dataclasses import dataclass, field

SHOWN = 3
LONGEST_SHOWN = 80


@dataclass
class Examples:
    """A count, and the first few names in the file's own spelling."""

    count: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, name: object) -> None:
        """Count one more."""
        self.count += 1
        if len(self.names) < SHOWN:
            self.names.append(_shown(name))

    def __str__(self) -> str:
        more = ", …" * (self.count > len(self.names))
        return ", ".join(self.names) + more


def _shown(name: object) -> str:
    text = " ".join(str(name)[: 2 * LONGEST_SHOWN].split())
    plain = "".join(c if c.isprintable() else "?" for c in text)
    if len(plain) <= LONGEST_SHOWN:
        return plain
    half = LONGEST_SHOWN // 2 - 1
    return f"{plain[:half]}…{plain[-half:]}"  # the end of a path tells more than its middle
