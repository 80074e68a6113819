"""One attempt to report one decline. Knows upstream's calls, not the outbox."""

import json
import time
from collections.abc import Iterator

from proxy.choices import Delivery, Kind, Outcome
from proxy.credentials import Credentials
from proxy.exchange import Answer, Lines, NoAnswer, Request
from proxy.judge import judge, judge_silence
from proxy.oauth import TokenFailed
from proxy.settings_upstreams import UpstreamSetting
from proxy.upstreams import UnsafeUrl, idempotency_key, is_id, url_for
from proxy.wire import Clock


class Sender:
    """Sends reports upstream and judges what comes back; shared by threads."""

    def __init__(
        self,
        *,
        audience: str,
        deadline: float = 20.0,
        clock: Clock = time.time,
        monotonic: Clock = time.monotonic,
        lines: Lines | None = None,
    ) -> None:
        self.deadline = deadline  # seconds: name, connection, handshake, token and answer in all
        self._audience = audience
        self._clock = clock
        self._monotonic = monotonic
        self._lines = lines or Lines(clock=monotonic)

    def send(
        self, delivery: Delivery, upstream: UpstreamSetting, credentials: Credentials
    ) -> Outcome:
        """Make one attempt and return how it ended, within the deadline whatever upstream does.

        A refused access token is renewed once and the request sent again, with the same key.
        """
        if not is_id(delivery.offer):
            return Outcome(kind=Kind.PERMANENT, reason="offer_malformed")
        try:
            request = self._request(delivery, upstream)
            answer = self._ask(request, credentials)
        except UnsafeUrl as error:
            return Outcome(kind=Kind.SETUP, reason="unsafe_url", detail=str(error))
        except TokenFailed as error:
            return Outcome(
                kind=Kind.SETUP, reason="token_failed", status=error.status, detail=error.detail
            )
        except NoAnswer as silence:
            return judge_silence(silence)
        return judge(
            answer,
            success=upstream.definition.success,
            now=self._clock(),
            hide=_hidden(request, credentials) if answer.body else (),
        )

    def _request(self, delivery: Delivery, upstream: UpstreamSetting) -> Request:
        api = upstream.definition
        key = idempotency_key(
            audience=self._audience,
            partner=delivery.partner,
            upstream=delivery.upstream,
            offer=delivery.offer,
            epoch=delivery.epoch,
        )
        return Request(
            method=api.method,
            url=url_for(
                api,
                base_url=upstream.base_url,
                partner_code=upstream.partner_code,
                offer=delivery.offer,
            ),
            body=delivery.body.encode(),
            headers={"x-idempotency-key": key},
            until=self._monotonic() + self.deadline,
        )

    def _ask(self, request: Request, credentials: Credentials) -> Answer:
        credentials.stamp(request)
        answer = self._lines.ask(request)
        if credentials.heard(request, answer.status):
            credentials.stamp(request)
            answer = self._lines.ask(request)
            credentials.heard(request, answer.status)
        return answer


def _hidden(request: Request, credentials: Credentials) -> Iterator[str]:
    """Yield what upstream's words must not repeat: what proves us, and the customer's values."""
    yield from credentials.secrets()
    for value in request.headers.values():
        yield from (value, value.partition(" ")[2])
    yield from _strings(json.loads(request.body))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
