"""Functions whose calls are spans: what all decorators have in common."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Protocol, TypeVar, cast, overload

from lumitrace._lumitrace import Span, TracingContext, get_tracer, use_span

Function = TypeVar("Function", bound=Callable[..., Any])

# Flags of code objects (documentation of `inspect`, whose import would take 10 ms).
_GENERATOR = 0x20
_COROUTINE = 0x80
_ASYNC_GENERATOR = 0x200


class AnyTracer(Protocol):
    """Lumitrace's tracer, or any other with OpenTelemetry's API."""

    def start_span(self, name: str, *args: Any, **kwargs: Any) -> Any: ...

    def start_as_current_span(self, name: str, *args: Any, **kwargs: Any) -> Any: ...


@overload
def trace_function(tracer: Function) -> Function: ...
@overload
def trace_function(
    tracer: AnyTracer | None = None, func_name: str | None = None
) -> Callable[[Function], Function]: ...
def trace_function(tracer: Any = None, func_name: str | None = None) -> Any:
    """Decorate a function so that each call is a span.

    Works for functions, coroutine functions, generators and asynchronous generators. A coroutine
    is timed over its await. A generator is timed from its first item to its end, or to the moment
    when it is closed; it is the current span only while it computes an item, so that the spans of
    the loop that consumes it are not its children.

    The span carries ``function``, the function's name, and ``result.status``: ``success``,
    ``error``, ``cancelled`` (a task) or ``closed`` (a generator that was left early). Of an
    exception it carries status ERROR, one exception event, ``error.type`` and ``error.message``.
    Arguments and results are not recorded.

    :param tracer: the tracer; without one, the tracer named after the function's module.
    :param func_name: the span's name; the function's own by default.
    """
    if is_function(tracer):  # @trace_function without parentheses
        return traced(tracer)
    return lambda function: traced(function, name=func_name, tracer=tracer)


class Details:
    """What a span of a call carries beside its name and outcome, or what else is done about it."""

    def begin(self, span: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
        """The call begins; returns what :meth:`end` is given again."""
        raise NotImplementedError

    def end(
        self, span: Any, begun: float, outcome: str, result: Any, error: BaseException | None
    ) -> None:
        """The call has ended with this outcome; the span has not."""
        raise NotImplementedError


def traced(
    function: Any,
    *,
    name: str | None = None,
    tracer: Any = None,
    attributes: dict[str, Any] | None = None,
    details: Details | None = None,
) -> Any:
    """``function``, of whichever kind, so that each call is a span.

    :param name: the span's name; the function's own by default.
    :param tracer: the tracer; the one named after the function's module by default.
    :param attributes: the same for every call; ``function`` by default.
    """
    if isinstance(function, (staticmethod, classmethod)):
        inner = traced(
            function.__func__, name=name, tracer=tracer, attributes=attributes, details=details
        )
        return type(function)(inner)
    function_name = name_of(function)
    call = _Call(
        tracer=tracer if tracer is not None else get_tracer(getattr(function, "__module__", "")),
        name=name or function_name,
        attributes={"function": function_name} if attributes is None else attributes,
        details=details,
    )
    flags = code_flags(function)
    if flags & _ASYNC_GENERATOR:
        return _async_generator(function, call)
    if flags & _COROUTINE:
        return _coroutine(function, call)
    if flags & _GENERATOR:
        return _generator(function, call)
    return _function(function, call)


def is_function(value: Any) -> bool:
    """Whether a decorator was given its function rather than an argument."""
    return isinstance(value, (staticmethod, classmethod)) or (
        callable(value) and not hasattr(value, "start_span")
    )


def name_of(function: Any) -> str:
    """The name of a function, or the class of another callable."""
    return cast("str", getattr(function, "__name__", type(function).__name__))


def parameters_of(function: Any) -> list[str]:
    """The names of the parameters that can be given by position."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return [] if code is None else list(code.co_varnames[: code.co_argcount])


def code_flags(function: Any) -> int:
    """The flags of a function's code, also through partial application; 0 without code."""
    while isinstance(function, functools.partial):
        function = function.func
    # `inspect.markcoroutinefunction` marks plain functions that return coroutines.
    if getattr(function, "_is_coroutine_mark", None) is not None:
        return _COROUTINE
    return cast("int", getattr(getattr(function, "__code__", None), "co_flags", 0))


class _Call:
    """What is the same for every call of a traced function."""

    __slots__ = ("as_current", "attributes", "details", "name", "tracer")

    def __init__(
        self, tracer: Any, name: str, attributes: dict[str, Any], details: Details | None
    ) -> None:
        self.tracer = tracer
        self.name = name
        self.attributes = attributes
        self.details = details
        # The native method itself: what it is made of is looked through only here.
        self.as_current = TracingContext(tracer, name, attributes)._again

    def start(self) -> Span:
        return cast("Span", self.tracer.start_span(self.name, attributes=self.attributes))


def _function(function: Any, call: _Call) -> Any:
    details = call.details

    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        with call.as_current() as span:
            begun = 0.0 if details is None else details.begin(span, args, kwargs)
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                _tell(span, details, begun, outcome_of(error), None, error)
                raise
            span.set_attribute("result.status", "success")
            if details is not None:
                details.end(span, begun, "success", result, None)
            return result

    return traced


def _coroutine(function: Any, call: _Call) -> Any:
    details = call.details

    @functools.wraps(function)
    async def traced(*args: Any, **kwargs: Any) -> Any:
        with call.as_current() as span:
            begun = 0.0 if details is None else details.begin(span, args, kwargs)
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                _tell(span, details, begun, outcome_of(error), None, error)
                raise
            span.set_attribute("result.status", "success")
            if details is not None:
                details.end(span, begun, "success", result, None)
            return result

    return traced


def _generator(function: Any, call: _Call) -> Any:
    details = call.details

    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        span = call.start()
        begun = 0.0 if details is None else details.begin(span, args, kwargs)
        try:
            generator = function(*args, **kwargs)
            with use_span(span):
                item = next(generator)
            while True:
                try:
                    sent = yield item
                except GeneratorExit:
                    with use_span(span):
                        generator.close()
                    raise
                except BaseException as thrown:
                    with use_span(span):
                        item = generator.throw(thrown)
                else:
                    with use_span(span):
                        item = generator.send(sent)
        except StopIteration as stop:
            _tell(span, details, begun, "success", stop.value, None)
            return stop.value
        except BaseException as error:
            _fail(span, details, begun, error)
            raise
        finally:
            span.end()

    return traced


def _async_generator(function: Any, call: _Call) -> Any:
    details = call.details

    @functools.wraps(function)
    async def traced(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        span = call.start()
        begun = 0.0 if details is None else details.begin(span, args, kwargs)
        try:
            generator = function(*args, **kwargs)
            step = generator.__anext__()
            while True:
                with use_span(span):
                    item = await step
                try:
                    sent = yield item
                except GeneratorExit:
                    with use_span(span):
                        await generator.aclose()
                    raise
                except BaseException as thrown:
                    step = generator.athrow(thrown)
                else:
                    step = generator.asend(sent)
        except StopAsyncIteration:
            _tell(span, details, begun, "success", None, None)
        except BaseException as error:
            _fail(span, details, begun, error)
            raise
        finally:
            span.end()

    return traced


def outcome_of(error: BaseException) -> str:
    """How a call that ended with this exception ended: ``error``, ``closed`` or ``cancelled``."""
    if isinstance(error, GeneratorExit):
        return "closed"
    if type(error).__name__ == "CancelledError":  # by name: importing asyncio takes 30 ms
        return "cancelled"
    return "error"


def _tell(
    span: Any,
    details: Details | None,
    begun: float,
    outcome: str,
    result: Any,
    error: BaseException | None,
) -> None:
    span.set_attribute("result.status", outcome)
    if details is not None:
        details.end(span, begun, outcome, result, error)


def _fail(span: Any, details: Details | None, begun: float, error: BaseException) -> None:
    outcome = outcome_of(error)
    _tell(span, details, begun, outcome, None, error)
    if outcome == "error":
        record_error(span, error)


def record_error(span: Any, error: BaseException) -> None:
    """Mark ``span``, of whichever implementation, as failed by ``error``."""
    if isinstance(span, Span):
        span.record_error(error)
        return
    from opentelemetry.trace import StatusCode

    span.record_exception(error)
    span.set_status(StatusCode.ERROR, str(error))


def in_context(context: TracingContext, function: Any) -> Any:
    """Decorate a function so that each call runs in a context of its own like ``context``."""
    if code_flags(function) & _COROUTINE:

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            with context._again():
                return await function(*args, **kwargs)

        return awaited

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        with context._again():
            return function(*args, **kwargs)

    return called
