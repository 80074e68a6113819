"""Mitigations taken away, one for each category of the file: each in a copy of the package.

Each names a case that must then fail, and the words by which it is seen that it is this fault.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.faults.planted import Edit


@dataclass(frozen=True)
class Regression:
    """A mitigation that is taken away."""

    case: str  # of the table
    sign: str  # a pattern; what the failing case says
    edits: Sequence[Edit]


REGRESSIONS: Mapping[str, Regression] = {
    "any signature is good": Regression(
        "TOK-10", "token_bad_signature.*status=202", [("tokens.py", "if not genuine:", "if False:")]
    ),
    "an origin need only begin like one that is allowed": Regression(
        "ORG-07",
        "origin_not_allowed.*status=202",
        [
            (
                "web/callers.py",
                "if origin not in partner.origins:",
                "if not origin.startswith(tuple(partner.origins)):",
            ),
            (
                "web/callers.py",
                "if origin != session.origin:",
                "if not origin.startswith(session.origin):",
            ),
        ],
    ),
    "documents may nest without end": Regression(
        "BODY-05",
        "invalid_json.*status=500.*internal_error",
        [("strictjson.py", "if _depth(text) > max_depth:", "if False:")],
    ),
    "a form may come as plain text, as from any page without a script": Regression(
        "TXT-02",
        "unsupported_media_type.*status=400",
        [("web/choices.py", "frozenset({FORM, JSON})", 'frozenset({FORM, JSON, "text/plain"})')],
    ),
    "everybody is believed who they speak for": Regression(
        "HTTP-22",
        "rate_limited.*status=202",
        [
            (
                "web/limits.py",
                "    if not proxies:\n        return found\n",
                '    return address(environ.get("HTTP_X_FORWARDED_FOR", "")) or found\n',
            )
        ],
    ),
    "an id may come again with other content": Regression(
        "IDEM-02",
        "idempotency_key_reused.*status=202",
        [("intake.py", "if not earlier.is_same(message, offer):", "if False:")],
    ),
    "a redirect of the insurer is followed": Regression(
        "UP-01",
        "delivered",
        [
            ("exchange.py", "allow_redirects=False", "allow_redirects=True"),
            (
                "exchange.py",
                "    def get_redirect_target(self, _response: Response) -> None:\n",
                "    def _nobody_asks(self, _response: Response) -> None:\n",
            ),
        ],
    ),
    "what was refused is written down as it came": Regression(
        "LOG-01",
        "delivered",
        [
            (
                "web/guard.py",
                "        self._refusals.count(g.code)\n",
                '        print(request.environ.get("HTTP_ORIGIN"), file=sys.stderr)\n',
            ),
            ("web/guard.py", "from functools import", "import sys\nfrom functools import"),
        ],
    ),
    "a browser may use a server key": Regression(
        "SES-02",
        "browser_not_allowed.*status=20",
        [("web/callers.py", "if marker := _browser_marker(environ):", "if marker := None:")],
    ),
    "a formula is exported as it came": Regression(
        "ADM-10",
        "HYPERLINK",
        [
            (
                "export.py",
                'return f"\'{text}" if text.startswith(("=", "+", "-", "@")) else text',
                "return text",
            )
        ],
    ),
    "a released file is changed by one byte": Regression(
        "EXP-05",
        "sha384-",
        [
            (
                "web/scripts.py",
                "content = scripts[version].content\n",
                'content = scripts[version].content + b"\\n"\n',
            )
        ],
    ),
}
