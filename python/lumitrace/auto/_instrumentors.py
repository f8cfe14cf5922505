"""HTTP clients and servers, databases and LLM clients: OpenTelemetry's instrumentations of them,
those that are installed.

Every one of them is an integration of its own, by the name that its package registers in the group
``opentelemetry_instrumentor``: one that is missing, does not fit its library or breaks costs only
itself. It is loaded when the program imports the library, and only then are installed packages
looked through.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
from types import ModuleType
from typing import Any

from lumitrace.auto._guard import Integration
from lumitrace.auto._imports import when_imported

_LOGGER = logging.getLogger("lumitrace")

GROUP = "opentelemetry_instrumentor"

LIBRARIES: dict[str, str] = {
    # HTTP and RPC
    "aiohttp_client": "aiohttp.client",
    "aiohttp_server": "aiohttp.web",
    "django": "django",
    "falcon": "falcon",
    "fastapi": "fastapi",
    "flask": "flask",
    "grpc_aio_client": "grpc.aio",
    "grpc_aio_server": "grpc.aio",
    "grpc_client": "grpc",
    "grpc_server": "grpc",
    "httpx": "httpx",
    "pyramid": "pyramid",
    "requests": "requests",
    "starlette": "starlette.applications",
    "tornado": "tornado",
    "urllib": "urllib.request",
    "urllib3": "urllib3",
    # Databases and queues
    "aio_pika": "aio_pika",
    "aiokafka": "aiokafka",
    "aiopg": "aiopg",
    "asyncpg": "asyncpg",
    "boto3": "boto3",
    "botocore": "botocore",
    "cassandra": "cassandra",
    "celery": "celery",
    "confluent_kafka": "confluent_kafka",
    "elasticsearch": "elasticsearch",
    "kafka": "kafka",
    "mysql": "mysql.connector",
    "mysqlclient": "MySQLdb",
    "pika": "pika",
    "psycopg": "psycopg",
    "psycopg2": "psycopg2",
    "pymemcache": "pymemcache",
    "pymongo": "pymongo",
    "pymssql": "pymssql",
    "pymysql": "pymysql",
    "redis": "redis",
    "sqlalchemy": "sqlalchemy",
    "sqlite3": "sqlite3",
    "tortoiseorm": "tortoise",
    # Language models and agents, by OpenTelemetry, OpenInference and OpenLLMetry
    "agno": "agno",
    "aleph_alpha_client": "aleph_alpha_client",
    "anthropic": "anthropic",
    "bedrock": "boto3",
    "claude_agent_sdk": "claude_agent_sdk",
    "cohere": "cohere",
    "crewai": "crewai",
    "dspy": "dspy",
    "google_cloud_aiplatform": "vertexai",
    "google_genai": "google.genai",
    "google_generativeai": "google.genai",
    "groq": "groq",
    "haystack": "haystack",
    "haystack_ai": "haystack",
    "instructor": "instructor",
    "langchain": "langchain_core",
    "litellm": "litellm",
    "llama_index": "llama_index.core",
    "mcp": "mcp",
    "mistralai": "mistralai",
    "ollama": "ollama",
    "openai": "openai",
    "openai_agents": "agents",
    "pydantic_ai": "pydantic_ai",
    "replicate": "replicate",
    "sagemaker": "boto3",
    "smolagents": "smolagents",
    "together": "together",
    "vertexai": "vertexai",
    "voyageai": "voyageai",
    # Vector stores
    "chromadb": "chromadb",
    "lancedb": "lancedb",
    "marqo": "marqo",
    "milvus": "pymilvus",
    "pinecone_client": "pinecone",
    "qdrant_client": "qdrant_client",
    "weaviate_client": "weaviate",
}
"""The names of instrumentations, with ``_`` for ``-``, and the module that each waits for."""

_SEVERAL = frozenset({"boto3"})
"""Where several packages have one name and instrument different things: queues and models."""


def install(integration: Integration) -> None:
    """Wait for the library."""
    when_imported(LIBRARIES[integration.name], functools.partial(_library_imported, integration))


def _library_imported(integration: Integration, module: ModuleType) -> None:
    try:
        entry_points = _installed().get(integration.name, ())
    except Exception as problem:
        integration.fail(problem)
        return
    if not entry_points:
        integration.state = "not installed"
        return
    wanted = entry_points if integration.name in _SEVERAL else entry_points[:1]
    if len(wanted) < len(entry_points):
        _LOGGER.warning(
            "several packages instrument %s: %s does now, and %s does not",
            integration.name,
            wanted[0].value,
            ", ".join(other.value for other in entry_points[len(wanted) :]),
        )
    for entry_point in wanted:
        integration.activate(_instrument, entry_point)


@functools.cache
def _installed() -> dict[str, list[Any]]:
    if importlib.util.find_spec("opentelemetry") is None:
        return {}
    from importlib import metadata

    found: dict[str, list[Any]] = {}
    for entry_point in metadata.entry_points(group=GROUP):
        found.setdefault(entry_point.name.replace("-", "_"), []).append(entry_point)
    return found


def _instrument(entry_point: Any) -> None:
    instrumentor = entry_point.load()()
    if not instrumentor.is_instrumented_by_opentelemetry:
        # A version of the library that it was not made for is an error of the integration.
        instrumentor.instrument(raise_exception_on_conflict=True)
