"""Every trouble that `syncd doctor` knows: the check that finds it, how bad it is, its words and the remedy.

servers    on the way to the credential API and the store, and there
here       on this machine: configuration, ledger, folders

Tables, so that the page for operators can be held against them. Refuses to decide which one it is: see `decide.doctor`
and `decide.premises`.
"""

from __future__ import annotations

from dataclasses import dataclass

from syncd.decide.findings import Check, Finding, Verdict


@dataclass(frozen=True, slots=True)
class Trouble:
    """A kind of finding. `text` and `hint` are templates; `also`: other checks that may find it."""

    check: Check
    verdict: Verdict
    text: str
    hint: str
    also: tuple[Check, ...] = ()

    def found(self, *, at: Check | None = None, **facts: object) -> Finding:
        """This trouble, with what was seen put into its words. `at`: the check that saw it, if it is not the first."""
        return Finding(
            at or self.check, self.verdict, self.text.format(**facts), self.hint.format(**facts) or None
        )


FAIL, WARN = Verdict.FAIL, Verdict.WARN
