"""A credential API, and one device that uploads through it to the gateway."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.api import Api
from support.edge import Edge
from support.estate import Estate


class Site:
    """Both over TLS to the gateway. `session`: how long a session lives; `rate`: the device's `upload.max_rate`."""

    def __init__(
        self,
        estate: Estate,
        place: Path,
        *,
        session: str = "1h",
        rate: str | None = None,
        destination: dict[str, Any] | None = None,
    ) -> None:
        self.estate = estate
        self.api = Api(estate, place, session=session)
        token = self.api.add_device("cam")
        self.api.start()
        self.edge = Edge(
            place / "cam",
            api_url=self.api.url,
            token=token,
            destination={
                "endpoint_url": estate.gateway.tls_url,
                "ca_file": estate.gateway.ca_file,
                "addressing_style": "path",
                **(destination or {}),
            },
            upload={"max_rate": rate, "parts": 2},
        )

    def stop(self) -> None:
        """End both in good order; neither has told a secret."""
        self.edge.stop()
        self.api.stop()

    def close(self) -> None:
        """Whatever still runs ends at once."""
        self.edge.daemon.kill()
        self.api.server.kill()


NewSite = Callable[..., Site]
