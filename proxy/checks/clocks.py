"""How far two clocks may be apart."""

from proxy.checks.findings import Finding, fail, ok, warn
from proxy.tokens import LEEWAY

_NOTICED = 5.0  # seconds


def clock_finding(check: str, ahead: float, whose: str = "The database's") -> Finding:
    """Judge a clock that is *ahead* seconds ahead of this machine's."""
    says = f"{whose} clock is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} ours"
    mend = "Let a time service (chrony, systemd-timesyncd) set this machine's clock, and theirs."
    if abs(ahead) > LEEWAY:
        why = f"more than the {LEEWAY} s that tokens and signatures may be off"
        return fail(check, f"{says}, {why}.", mend)
    if abs(ahead) > _NOTICED:
        return warn(check, f"{says}.", mend)
    return ok(check, f"{says}.")
