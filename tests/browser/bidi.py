"""Firefox, through WebDriver BiDi, which it speaks itself (w3c.github.io/webdriver-bidi).

Debian has no geckodriver; and Marionette, which that one speaks, keeps every page out of the
back/forward cache.
"""

import contextlib
import itertools
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import websocket

from tests.browser import engines

SHIFT = "\ue008"


class BiDiError(Exception):
    """What the browser says went wrong."""


class Firefox:
    """A headless Firefox."""

    def __init__(self, profile: Path) -> None:
        engines.prepare_firefox(profile)
        command = [*engines.FIREFOX.command(profile), "--remote-debugging-port", "0"]
        self._log = (profile / "stderr").open("w+b")
        self._process = subprocess.Popen(command, stderr=self._log, stdout=self._log)
        self._ids = itertools.count(1)
        told = engines.wait_for_text(profile / "stderr", re.compile(r"ws://[^ ]+:[0-9]+"))
        self._socket = websocket.create_connection(
            f"{told}/session", suppress_origin=True, timeout=60
        )
        session = self._call("session.new", capabilities={})
        self.version = str(session["capabilities"]["browserVersion"])
        tree = self._call("browsingContext.getTree")
        self._tabs = [tree["contexts"][0]["context"]]
        self._tab = self._tabs[0]

    def _call(self, method: str, **parameters: object) -> Any:
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") != number:
                continue
            if answer["type"] == "error":
                raise BiDiError(f"{method}: {answer['error']}: {answer['message']}")
            return answer["result"]

    @property
    def address(self) -> str:
        """The URL of the page."""
        tree = self._call("browsingContext.getTree", root=self._tab)
        return str(tree["contexts"][0]["url"])

    @property
    def title(self) -> str:
        """Its title."""
        return str(self.run("return document.title"))

    def open_tab(self) -> None:
        """Open another tab and bring it to the front."""
        self._tab = self._call("browsingContext.create", type="tab")["context"]
        self._tabs.append(self._tab)

    def front(self, tab: int) -> None:
        """Bring a tab to the front."""
        self._tab = self._tabs[tab]
        self._call("browsingContext.activate", context=self._tab)

    def close_tabs(self) -> None:
        """Close every tab but the first, those that pages opened too."""
        for tab in self._call("browsingContext.getTree", maxDepth=0)["contexts"]:
            if tab["context"] != self._tabs[0]:
                # One that is closing already is as good as closed.
                with contextlib.suppress(BiDiError):
                    self._call("browsingContext.close", context=tab["context"])
        del self._tabs[1:]
        self._tab = self._tabs[0]

    def go(self, address: str) -> None:
        """Open a page."""
        self._call("browsingContext.navigate", context=self._tab, url=address, wait="complete")

    def reload(self) -> None:
        """Load the page again."""
        self._call("browsingContext.reload", context=self._tab, wait="complete")

    def back(self) -> None:
        """Go one page back."""
        before = self.address
        self._call("browsingContext.traverseHistory", context=self._tab, delta=-1)
        engines.wait(lambda: self.address != before)

    def click(self, selector: str) -> None:
        """Move the pointer there, press and let go."""
        element = self._find(selector)
        script = "document.querySelector(arguments[0]).scrollIntoView({ block: 'center' })"
        self.run(script, selector)
        origin = {"type": "element", "element": {"sharedId": element}}
        steps = [
            {"type": "pointerMove", "x": 0, "y": 0, "origin": origin},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        self._act({"type": "pointer", "id": "mouse", "actions": steps})

    def press(self, selector: str, keys: str) -> None:
        """Focus it, then press key after key."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        both = (
            ({"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}) for key in keys
        )
        self._act({"type": "key", "id": "keys", "actions": [*itertools.chain(*both)]})

    def run(self, script: str, *arguments: object) -> Any:
        """Run a script."""
        # A function, not an arrow: the scripts of the rows say `arguments`.
        body = f"(function () {{ {script} }}).apply(null, JSON.parse(given))"
        function = f"(given) => JSON.stringify({body})"
        given = {"type": "string", "value": json.dumps(arguments)}
        answer = self._call(
            "script.callFunction",
            functionDeclaration=function,
            arguments=[given],
            awaitPromise=False,
            userActivation=True,
            target={"context": self._tab},
        )
        if answer["type"] == "exception":
            raise BiDiError(answer["exceptionDetails"]["text"])
        value = answer["result"].get("value")
        return json.loads(value) if isinstance(value, str) else None

    def set_offline(self, *, offline: bool) -> None:
        """Take the tab's network away, or give it back."""
        self._call(
            "emulation.setNetworkConditions",
            networkConditions={"type": "offline"} if offline else None,
            contexts=[self._tab],
        )

    def quit(self) -> None:
        """End it, and wait until it has ended."""
        with contextlib.suppress(BiDiError, websocket.WebSocketException, OSError):
            self._call("browser.close")
        self._socket.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _find(self, selector: str) -> str:
        locator = {"type": "css", "value": selector}
        nodes = self._call(
            "browsingContext.locateNodes", context=self._tab, locator=locator, maxNodeCount=1
        )["nodes"]
        if not nodes:
            raise BiDiError(f"no element: {selector}")
        return str(nodes[0]["sharedId"])

    def _act(self, source: dict[str, object]) -> None:
        self._call("input.performActions", context=self._tab, actions=[source])
