"""The decorator that makes a span of every call of a function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Protocol, TypeVar, cast, overload

from lumitrace._lumitrace import Span, TracingContext, get_tracer, use_span

Function = TypeVar("Function", bound=Callable[..., Any])


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
    if inspect.isroutine(tracer):  # @trace_function without parentheses
        return _traced(tracer, None, None)
    return lambda function: _traced(function, tracer, func_name)


def _traced(function: Any, tracer: Any, func_name: str | None) -> Any:
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(_traced(function.__func__, tracer, func_name))
    function_name = getattr(function, "__name__", type(function).__name__)
    call = _Call(
        tracer=tracer if tracer is not None else get_tracer(getattr(function, "__module__", "")),
        name=func_name or function_name,
        attributes={"function": function_name},
    )
    if inspect.isasyncgenfunction(function):
        return _async_generator(function, call)
    if inspect.iscoroutinefunction(function):
        return _coroutine(function, call)
    if inspect.isgeneratorfunction(function):
        return _generator(function, call)
    return _function(function, call)


class _Call:
    """What is the same for every call of a traced function."""

    __slots__ = ("attributes", "name", "tracer")

    def __init__(self, tracer: Any, name: str, attributes: dict[str, str]) -> None:
        self.tracer = tracer
        self.name = name
        self.attributes = attributes

    def as_current(self) -> TracingContext:
        return TracingContext(self.tracer, self.name, self.attributes)

    def start(self) -> Span:
        return cast("Span", self.tracer.start_span(self.name, attributes=self.attributes))


def _function(function: Any, call: _Call) -> Any:
    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        with call.as_current() as span:
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                span.set_attribute("result.status", _outcome(error))
                raise
            span.set_attribute("result.status", "success")
            return result

    return traced


def _coroutine(function: Any, call: _Call) -> Any:
    @functools.wraps(function)
    async def traced(*args: Any, **kwargs: Any) -> Any:
        with call.as_current() as span:
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                span.set_attribute("result.status", _outcome(error))
                raise
            span.set_attribute("result.status", "success")
            return result

    return traced


def _generator(function: Any, call: _Call) -> Any:
    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        span = call.start()
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
            span.set_attribute("result.status", "success")
            return stop.value
        except BaseException as error:
            _fail(span, error)
            raise
        finally:
            span.end()

    return traced


def _async_generator(function: Any, call: _Call) -> Any:
    @functools.wraps(function)
    async def traced(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        span = call.start()
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
            span.set_attribute("result.status", "success")
        except BaseException as error:
            _fail(span, error)
            raise
        finally:
            span.end()

    return traced


def _outcome(error: BaseException) -> str:
    if isinstance(error, GeneratorExit):
        return "closed"
    if type(error).__name__ == "CancelledError":  # by name: importing asyncio takes 30 ms
        return "cancelled"
    return "error"


def _fail(span: Any, error: BaseException) -> None:
    outcome = _outcome(error)
    span.set_attribute("result.status", outcome)
    if outcome != "error":
        return
    if isinstance(span, Span):
        span.record_error(error)
    else:
        from opentelemetry.trace import StatusCode

        span.record_exception(error)
        span.set_status(StatusCode.ERROR, str(error))


def in_context(context: TracingContext, function: Any) -> Any:
    """Decorate a function so that each call runs in a context of its own like ``context``."""
    if inspect.iscoroutinefunction(function):

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
