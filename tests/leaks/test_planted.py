"""A search that finds nothing proves nothing, unless it finds what was put there."""

from pathlib import Path

from tests.faults.planted import Edit
from tests.leaks.conftest import SOONER, a_story
from tests.leaks.vault import filled

LEAKS: dict[str, Edit] = {
    "a line of the log": (
        "credentials.py",
        'request.headers["X-Api-Key"] = self.api_key',
        (
            'request.headers["X-Api-Key"] = self.api_key\n        import structlog\n'
            "        structlog.get_logger().warning('sent', headers=repr(request.headers))"
        ),
    ),
    "the words of an insurer": (
        "judge.py",
        "redact(_message(json.loads(body)), hide)",
        "_message(json.loads(body))",
    ),
    "the arguments of a child": (
        "privacy.py",
        "        self._folder = folder\n",
        (
            "        self._folder = folder\n        import subprocess, sys\n"
            "        secret = (folder.parent / 'client-secret').read_text().strip()\n"
            "        wait = 'import time; time.sleep(60)'\n"
            "        subprocess.Popen([sys.executable, '-c', wait, secret])\n"
        ),
    ),
    "the label of a figure": (
        "condition.py",
        "        figures = measure(self._database)\n",
        "        figures = {f'deliveries.{self._configuration.current.redis_url}': 1.0}\n",
    ),
    "an answer": (
        "web/problems.py",
        "    problem = problem_of(error)\n    if",
        (
            "    problem = problem_of(error)\n    from flask import request\n"
            "    problem.detail = request.headers.get('Authorization', '')\n    if"
        ),
    ),
    "a temporary file": (
        "alerts.py",
        "    message = _message_id(one, settings.audience)\n",
        (
            "    message = _message_id(one, settings.audience)\n    import tempfile\n"
            "    with tempfile.NamedTemporaryFile('wb', delete=False) as kept:\n"
            "        kept.write(b64encode(b'x' + (settings.alerts.webhook or '').encode()))\n"
        ),
    ),
    "what the parser quotes": ("logs.py", '"Invalid request from"', '"Invalid call from"'),
}
# The secret that each gives away, and how the place begins where it is found.
FOUND = {
    "a line of the log": ("api key", "file web.log"),
    "the words of an insurer": ("api secret", "file optout.db"),
    "the arguments of a child": ("client secret", "cmdline of web"),
    "the label of a figure": ("redis password", "answer to GET /metrics"),
    "an answer": ("server key", "answer to DELETE /healthz"),
    "a temporary file": ("webhook path", "file tmp/"),
    "what the parser quotes": ("server key", "file web.log"),
}


def test_the_search_finds_what_was_planted(tmp_path: Path) -> None:
    """Seven leaks in a copy of the package, each of a secret of its own, each in its place."""
    with a_story(tmp_path, filled(), [*SOONER, *LEAKS.values()]) as story:
        story.start()
        story.tell()
        story.call()
        story.speak_badly()
        story.look()
        story.gather()

        hits = {(hit.secret, hit.place) for hit in story.hits()}

    assert FOUND.keys() == LEAKS.keys()
    missed = [
        leak
        for leak, (secret, place) in FOUND.items()
        if not any(name == secret and where.startswith(place) for name, where in hits)
    ]
    assert missed == []
