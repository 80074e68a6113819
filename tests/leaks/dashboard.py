"""The dashboard as a part of the run: what proves a user is in no log, no file and no database."""

import json
import re
import time

import pyotp
import requests

from tests.acceptance.deployment import PATIENCE_S
from tests.leaks.story import Story

_MADE = rb"[a-z0-9]{5}(?:-[a-z0-9]{5}){4}|(?<=secret=)[A-Z2-7]{32}"
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
_PAGES = ("", "deliveries", "partners", "partners/ACME", "users", "activity", "account", "nothing")


def enter(story: Story) -> None:
    """Make a user, sign in and look around, well and badly; keep all that is shown."""
    for place in ("command users add", "command users reset"):
        for number, text in enumerate(re.findall(_MADE, story.evidence[place])):
            story.vault.add(f"{place} {number}", text.decode(), "command users")
    config = str(story.cluster.config)
    status, said = story.cluster.type(
        ["users", "add", "canary", "--role", "operator", "--json", "--config", config]
    )
    assert status == 0, said
    told = json.loads(said.splitlines()[-1])
    password = story.vault.add("dashboard password", told["password"])
    secret = story.vault.add("one-time secret", re.findall("secret=([A-Z2-7]+)", said)[0])
    browser = requests.Session()
    _ask(story, browser, "login", name=password, password="whatever it was")
    _ask(story, browser, "login", name="canary", password=password)
    _learn(story, browser)
    code = pyotp.TOTP(secret).at(int(time.time()))
    assert _ask(story, browser, "totp", code=code) == 303
    session = _learn(story, browser)
    for page in (*_PAGES, f"deliveries?offer={session}", f"nothing/{password}"):
        _show(story, browser, page)
    _ask(story, browser, f"nothing-{session}", password=password)
    _ask(story, browser, "account/password", password=password, again=session)
    _ask(story, browser, "account/sign-out")


def _learn(story: Story, browser: requests.Session) -> str:
    """Add the id that the browser holds to the secrets."""
    (session,) = {cookie.value or "" for cookie in browser.cookies}
    named = ("answer to POST /admin", "answer to GET /admin")  # as the cookie that is set there
    return story.vault.add(f"session {len(story.vault.texts)}", session, *named)


def _ask(story: Story, browser: requests.Session, path: str, **fields: str) -> int:
    """Send a form with its token; return the status."""
    found = _TOKEN.search(_show(story, browser, "login") + _show(story, browser, "account"))
    assert found
    shown = ("answer to GET /admin", "answer to POST /admin")  # which is what it is for
    story.vault.add(f"form token {len(story.vault.texts)}", found[1], *shown)
    answer = browser.post(
        f"{story.cluster.admin_url()}/admin/{path}",
        {"csrf_token": found[1], **fields},
        headers={"Accept": "text/html"},
        timeout=PATIENCE_S,
        allow_redirects=False,
    )
    # the name is shown again to whoever typed it: there is no other in this answer
    said = answer.text.replace(f'value="{fields.get("name", "")}"', "")
    story.evidence[f"answer to POST /admin/{path[:8]}"] += said.encode()
    return answer.status_code


def _show(story: Story, browser: requests.Session, path: str) -> str:
    url = f"{story.cluster.admin_url()}/admin/{path}"
    answer = browser.get(url, headers={"Accept": "text/html"}, timeout=PATIENCE_S)
    said = answer.text.replace(path, "") if path else answer.text  # what was asked for is shown
    story.evidence[f"answer to GET /admin/{path[:8]}"] += said.encode()
    return answer.text
