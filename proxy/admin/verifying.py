"""The verifier that the pages share: at most one run in this process."""

from typing import cast

from flask import Flask, current_app

from proxy.actions import Action, Actions
from proxy.admin.parts import Parts
from proxy.aside import Aside
from proxy.ledger import Ledger
from proxy.verifier import Run, Verifier

VERIFIED = "verified"  # the action; its subject is what was found
BEGAN = "began_to_verify"
_NAME = "verifier"


def install(app: Flask, parts: Parts) -> None:
    """Let the pages of *app* verify the record."""
    actions = Actions(parts.database)

    def ended(run: Run) -> None:
        actions.record(Action(user=run.by, action=VERIFIED, subject=_outcome(run)))

    app.extensions[_NAME] = Verifier(Aside(parts.database), Ledger(parts.audit_key), ended)


def verifier() -> Verifier:
    """Return what verifies in this process."""
    return cast(Verifier, current_app.extensions[_NAME])


def _outcome(run: Run) -> str:
    """Return what is written down, so that whoever asks another process learns of it too."""
    if run.found is None:
        return "could not be read"
    wrong = len(run.found.found.shown) + run.found.found.more
    seen = f"{run.found.offers:,} offers, {run.found.tally.sealed:,} sealed facts"
    return f"{seen}: {f'{wrong:,} wrong' if wrong else 'nothing wrong'}"
