"""An endpoint's call, worked out once and not again for each request.

FastAPI reads an endpoint's declaration anew whenever it is asked for, which
takes longer than everything else that is done for a request. A `DirectCall`
has read it: what is called before the endpoint and in which order, what each
is given, and how the answer is encoded.

It does only what it does exactly as FastAPI would: call coroutines that ask
for the request, its path, its query and each other, and encode a model. All
else is FastAPI's to do, and so is a request that turns out not to be valid:
nothing has been called by then, and FastAPI says what is wrong.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import fields
from functools import partial
from http import HTTPStatus
from inspect import iscoroutinefunction
from typing import Any, Final, NamedTuple, cast

from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import ResponseValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.middlewares.direct_route import endpoints
from app.middlewares.parameters import Invalid, Reader, readers
from app.schemas.listing import Listing, encode_listing

_JSON: Final = (b"content-type", b"application/json")
_REQUEST: Final = 0
"""The place of the request among all values."""
_PLAIN: Final = {
    *("call", "name", "path", "scope", "use_cache", "dependencies"),
    *("request_param_name", "path_params", "query_params"),
}
"""What a function may ask for, as FastAPI names it."""

Function = Callable[..., Awaitable[Any]]


class Step(NamedTuple):
    """A function to call, and where the value of each argument is."""

    function: Function
    places: tuple[tuple[str, int], ...]


class Plan:
    """The order in which an endpoint and what it depends on are called.

    Every value has a place: the request, then the parameters, then what each
    step returns. The last step is the endpoint.

    Args:
        endpoint: What FastAPI has made of its declaration.
    """

    def __init__(self, endpoint: Dependant) -> None:
        self.readers: list[Reader] = []
        self.steps: list[Step] = []
        self._read: dict[int, list[tuple[str, int]]] = {}
        self._called: dict[tuple[Function, str | None], int] = {}
        self._add_readers(endpoint)
        self._add_step(endpoint)

    def _add_readers(self, function: Dependant) -> None:
        places = self._read[id(function)] = []
        for name, reader in readers(function):
            self.readers.append(reader)
            places.append((name, len(self.readers)))
        for dependency in function.dependencies:
            self._add_readers(dependency)

    def _add_step(self, function: Dependant) -> int:
        places = self._read[id(function)]
        for dependency in function.dependencies:
            place = self._add_step(dependency)
            if dependency.name is not None:
                places.append((dependency.name, place))
        if function.request_param_name is not None:
            places.append((function.request_param_name, _REQUEST))
        call = cast("Function", function.call)
        key = (call, function.scope)
        if function.use_cache and key in self._called:
            return self._called[key]
        self.steps.append(Step(call, tuple(places)))
        place = len(self.readers) + len(self.steps)
        self._called.setdefault(key, place)
        return place


class DirectCall:
    """What FastAPI does for a valid request to one endpoint.

    Args:
        route: The endpoint's declaration, one that `is_direct`.
    """

    def __init__(self, route: APIRoute) -> None:
        self._route = route
        self._is_fixed = not route.param_convertors
        plan = Plan(route.dependant)
        self._readers = tuple(plan.readers)
        self._steps = tuple(plan.steps)
        self._status = route.status_code or HTTPStatus.OK.value
        self._model = route.response_model
        # What a route leaves out of its answers only its model knows.
        self._is_whole = not any(
            (
                route.response_model_include,
                route.response_model_exclude,
                route.response_model_exclude_unset,
                route.response_model_exclude_defaults,
                route.response_model_exclude_none,
            )
        )
        field: Any = route.response_field
        self._validate = partial(field.validate, loc=("response",))
        self._encode = partial(
            # Not the field's own, which hands on a dozen options twice.
            field._type_adapter.serializer.to_json,  # noqa: SLF001
            include=route.response_model_include,
            exclude=route.response_model_exclude,
            by_alias=route.response_model_by_alias,
            exclude_unset=route.response_model_exclude_unset,
            exclude_defaults=route.response_model_exclude_defaults,
            exclude_none=route.response_model_exclude_none,
        )

    def read(self, request: Request) -> list[Any]:
        """Return the request and its parameters.

        Raises:
            Invalid: One of them is missing or wrong.
        """
        request.scope.update(self._found(request.scope))
        return [request, *(read(request) for read in self._readers)]

    async def answer(self, values: list[Any], send: Send) -> None:
        """Call the endpoint with what was read, and send its answer."""
        for function, places in self._steps:
            arguments = {name: values[place] for name, place in places}
            values.append(await function(**arguments))
        answer = values[-1]
        if isinstance(answer, Response):
            request = values[_REQUEST]
            await answer(request.scope, request.receive, send)
            return
        if self._is_whole and isinstance(answer, Listing):
            body = encode_listing(answer)
        else:
            body = self._encode(self._validated(answer))
        length = (b"content-length", b"%d" % len(body))
        start = {"type": "http.response.start", "status": self._status}
        await send({**start, "headers": [length, _JSON]})
        await send({"type": "http.response.body", "body": body})

    def _validated(self, answer: Any) -> Any:
        if type(answer) is self._model:  # it was validated when it was made
            return answer
        value, errors = self._validate(answer)
        if errors:
            raise ResponseValidationError(errors=errors, body=answer)
        return value

    def _found(self, scope: Scope) -> Scope:
        """Return what the framework adds to the scope of its route."""
        if not self._is_fixed:
            return self._route.matches(scope)[1]
        route = self._route
        return {"endpoint": route.endpoint, "route": route, "path_params": {}}


def is_direct(route: APIRoute) -> bool:
    """Say whether a `DirectCall` does all that an endpoint asks for."""
    return (
        route.response_field is not None
        and isinstance(route.response_class, DefaultPlaceholder)
        and _is_plain(route.dependant)
    )


def _is_plain(function: Dependant) -> bool:
    asked_for = {
        field.name
        for field in fields(function)
        if getattr(function, field.name)
    }
    return (
        asked_for <= _PLAIN
        and iscoroutinefunction(function.call)
        and all(map(_is_plain, function.dependencies))
    )


class DirectCallMiddleware:
    """Calls the endpoint of the route that was found, if it is direct.

    A request that FastAPI traces goes FastAPI's way, step by step.

    Args:
        app: FastAPI's way.
        routes: The framework's routes.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self.app = app
        self._calls = {
            operation: DirectCall(route)
            for operation, route in endpoints(routes).items()
            if is_direct(route)
        }

    def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        """Serve one request."""
        call = None
        if scope["type"] == "http" and "fastapi.telemetry" not in scope:
            template = scope["state"]["route"].template
            call = self._calls.get((scope["method"], template))
        if call is not None:
            try:
                values = call.read(Request(scope, receive, send))
            except Invalid:
                call = None
        if call is None:
            return self.app(scope, receive, send)
        return call.answer(values, send)
