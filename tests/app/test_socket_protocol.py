"""Whatever a client sends, the socket keeps its promises."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from app.api.ws.constants import PkgID, RSPCode
from app.constants import PUSH_REQ_ID
from tests.fixtures.service import Service

PROMISED_CLOSES = {1002, 1007, 1009, 1012, 4401, 4408}
PUSHES = {
    PkgID.AUTHORS_CHANGED,
    PkgID.BOOKS_CHANGED,
    PkgID.PERMISSIONS_CHANGED,
    PkgID.SERVER_NOTICE,
}
SECONDS = 10

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
names = st.text(max_size=300)
ids = st.integers() | st.integers(1, 50)
data = st.one_of(
    st.fixed_dictionaries({}, optional={"limit": ids, "after": names}),
    st.fixed_dictionaries({}, optional={"page": ids, "per_page": ids}),
    st.fixed_dictionaries({"name": names}, optional={"id": ids}),
    st.fixed_dictionaries({"title": names, "author_id": ids}),
    st.fixed_dictionaries({"id": ids}),
    st.fixed_dictionaries({"token": names}),
    json_values,
)
pkg_ids = st.sampled_from([int(pkg_id) for pkg_id in PkgID]) | json_values


class SocketMachine(RuleBasedStateMachine):
    """A client that says anything, and remembers what is owed to it.

    Which rules may follow depends only on what this client did, never on
    when the service's close arrives.
    """

    service: Service
    token: str

    def __init__(self) -> None:
        super().__init__()
        self.is_open = False
        self.closed_by_service = False
        self.signed_in = False
        self.owed: set[str] = set()
        self.anonymous_owed = 0
        self.stack = ExitStack()
        self.socket: ClientConnection

    @precondition(lambda self: not self.is_open)
    @rule(signed_in=st.sampled_from([True, True, True, False]))
    def open(self, signed_in: bool) -> None:
        """Open a socket, with a token or without."""
        headers = (
            {"Authorization": f"Bearer {self.token}"} if signed_in else {}
        )
        self.socket = self.stack.enter_context(
            connect(
                self.service.ws_url, additional_headers=headers, proxy=None
            )
        )
        self.is_open, self.closed_by_service = True, False
        self.signed_in = signed_in

    @precondition(lambda self: self.is_open)
    @rule(pkg_id=pkg_ids, data=data, missing=st.sampled_from(["", "data"]))
    def request(self, pkg_id: Any, data: Any, missing: str) -> None:
        """Send an envelope with a `req_id`, whatever else is in it."""
        req_id = str(uuid4())
        message = {"pkg_id": pkg_id, "req_id": req_id, "data": data}
        message.pop(missing, None)
        try:
            text = json.dumps(message)
            json.loads(text, parse_constant=_refuse)
        except ValueError:
            return
        self.owed.add(req_id)
        self._send(text)

    @precondition(lambda self: self.is_open)
    @rule(message=st.text(max_size=40) | st.binary(max_size=40))
    def babble(self, message: str | bytes) -> None:
        """Send something that is no request."""
        self.anonymous_owed += 1
        self._send(message)

    @precondition(lambda self: self.is_open)
    @rule()
    def collect(self) -> None:
        """Read every reply that is owed, each once."""
        while not self.closed_by_service and self._is_owed():
            self._receive()

    @precondition(lambda self: self.is_open)
    @rule()
    def leave(self) -> None:
        """Close the socket without waiting for anything."""
        self.stack.close()
        self.is_open = False
        self.owed = set()
        self.anonymous_owed = 0

    def teardown(self) -> None:
        """Read what is left, and leave."""
        if self.is_open:
            self.collect()
            self.leave()

    def _is_owed(self) -> bool:
        return bool(self.owed or self.anonymous_owed)

    def _send(self, message: str | bytes) -> None:
        if self.closed_by_service:
            return
        try:
            self.socket.send(message)
        except ConnectionClosed as closed:
            self._closed(closed)

    def _receive(self) -> None:
        try:
            reply = json.loads(self.socket.recv(timeout=SECONDS))
        except ConnectionClosed as closed:
            self._closed(closed)
            return
        RSPCode(reply["status_code"])
        assert {"pkg_id", "req_id", "status_code", "data", "meta"} == set(
            reply
        )
        if reply["req_id"] == PUSH_REQ_ID:
            assert reply["pkg_id"] in PUSHES
            assert RSPCode.OK == reply["status_code"]
            assert {"epoch", "seq"} == set(reply["meta"])
        elif reply["req_id"] is None:
            assert self.anonymous_owed > 0
            self.anonymous_owed -= 1
        else:
            self.owed.remove(reply["req_id"])

    def _closed(self, closed: ConnectionClosed) -> None:
        assert closed.rcvd is not None
        assert closed.rcvd.code in PROMISED_CLOSES
        assert not self.signed_in or closed.rcvd.code not in {4401, 4408}
        self.closed_by_service = True


def _refuse(constant: str) -> None:
    raise ValueError(constant)


@pytest.mark.timeout(180)
def test_every_message_is_answered_once(
    service: Service, sign_in: Callable[[str], str]
) -> None:
    """One reply a request, and no close that the contract does not list."""

    class Machine(SocketMachine):
        pass

    Machine.service = service
    Machine.token = sign_in("editor")
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=25,
            suppress_health_check=list(HealthCheck),
        ),
    )
