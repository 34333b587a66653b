"""What can be seen of a syncd, and the little that can be done to it from outside: status, explain, retry.

The same code answers for a running daemon (`Scene.live`) and, without one, over a ledger that was opened to look into.
"""

from syncd.inside.inside import Inside
from syncd.inside.scene import Live, Scene

__all__ = ["Inside", "Live", "Scene"]
