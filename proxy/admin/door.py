"""What opens the dashboard: a password, then a one-time code. Knows no page."""

from dataclasses import replace

from proxy import passwords
from proxy.accounts import Account
from proxy.admin.callers import address_here, network_here, now
from proxy.admin.parts import Parts
from proxy.admin.throttle import Waits
from proxy.errors import Problem
from proxy.logins import Begun, Logins
from proxy.one_time import Codes

_NETWORK_FREE = 20  # failures of one network before there is a delay: it may be a whole office
_CODES_WAIT_S = 3_600  # whoever guesses codes knows the password already


class Door:
    """The way in, with what it counts in this process."""

    def __init__(self, parts: Parts) -> None:
        self._logins = Logins(parts.database)
        self._codes = Codes(parts.audit_key)
        self._networks = Waits(free=_NETWORK_FREE)
        self._names = Waits()  # those that nobody has
        self._guesses = Waits(longest_s=_CODES_WAIT_S)

    def password(self, name: str, password: str, action: str) -> Account:
        """Return the account whose password that is; raise Problem if it is nobody's."""
        self._networks.require(network_here())
        self._names.require(name)
        begun = self._begun(name, action)
        account = begun.account if begun.account and not begun.account.disabled_at else None
        kept = account.password if account else None
        if not passwords.matches(kept, password) or account is None or kept is None:
            self._networks.fail(network_here())
            if begun.account is None:
                self._names.fail(name)
            raise Problem("login_failed")
        outdated = passwords.is_outdated(kept)
        rehashed = passwords.hashed(password) if outdated else None
        self._logins.accept(account, begun.row, rehashed=rehashed)
        return replace(account, password=rehashed or kept)

    def code(self, account: Account, code: str, failed: str, done: str) -> None:
        """Spend *code*; raise Problem if it is not good, or was used before."""
        self._networks.require(network_here())
        self._guesses.require(_guessed(account))
        begun = self._begun(account.name, failed)
        at = now()
        known = begun.account
        step = (
            self._codes.step(known.totp, known.name, code.replace(" ", ""), at) if known else None
        )
        if step is None or not self._logins.finish(account.name, begun.row, step, done):
            self._networks.fail(network_here())
            self._guesses.fail(_guessed(account))
            raise Problem("totp_failed")
        self._guesses.forget(_guessed(account))

    def _begun(self, name: str, action: str) -> Begun:
        begun = self._logins.begin(name, action, address_here())
        if begun.wait_s:
            raise Problem("login_throttled", retry_after=begun.wait_s)
        return begun


def _guessed(account: Account) -> str:
    """Return what guesses are counted under: a new password begins anew."""
    return f"{account.name} {account.password}"
