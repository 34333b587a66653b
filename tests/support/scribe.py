"""Short ways to bring rows into a ledger, as the acts would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from syncd.adapters.ledger import SqliteLedger
from syncd.model import Algorithm, Columns, Discover, Fingerprint, Move, Proof, ProofKind, State

FOLDER = b"/srv/capture"
PROOF = Proof(ProofKind.CHECKSUM, "crc64nvme AAAAAAAAAAA=", "HEAD shows our checksum")
WAY = (
    State.SETTLED,
    State.PLANNED,
    State.CREATING,
    State.UPLOADING,
    State.COMPLETING,
    State.VERIFIED,
    State.DONE,
)


def fingerprint(**numbers: int) -> Fingerprint:
    return Fingerprint(**({"dev": 1, "inode": 2, "size": 30, "mtime_ns": 4, "ctime_ns": 5} | numbers))


@dataclass
class Scribe:
    """Writes rows as the acts do, in the shortest way."""

    ledger: SqliteLedger

    def discover(self, path: bytes, folder: bytes = FOLDER, **numbers: int) -> int:
        change = Discover(folder=folder, path=path, fingerprint=fingerprint(**numbers), why="first seen")
        return self.ledger.commit([change])[0]

    def move(self, identity: int, was: State, to: State, **sets: Any) -> None:
        self.ledger.commit([Move(id=identity, was=was, to=to, why=f"now {to}", sets=Columns(**sets))])

    def bring(
        self, path: bytes, to: State, folder: bytes = FOLDER, key: str | None = None, **numbers: int
    ) -> int:
        """A new file, taken all the way to a state."""
        identity = self.discover(path, folder, **numbers)
        was = State.DISCOVERED
        for state in WAY[: WAY.index(to) + 1]:
            self.move(identity, was, state, **self._sets(state, key or path.decode(), identity))
            was = state
        return identity

    @staticmethod
    def _sets(state: State, key: str, identity: int) -> dict[str, Any]:
        plan = {
            "bucket": "captures",
            "key": key,
            "part_size": 10,
            "algorithm": Algorithm.CRC64NVME,
            "token": f"token-{identity}",
        }
        return {
            State.PLANNED: plan,
            State.UPLOADING: {"upload_id": f"upload-{identity}"},
            State.VERIFIED: {"etag": '"etag"', "proof": PROOF},
        }.get(state, {})
