//! LLM agents: one trace is one turn of a conversation, and every call to the model sends the
//! whole history again.

use lumitrace_model::{KeyValue, ResourceSpans, SpanId, SpanKind, Value as Attribute};
use serde_json::{Value, json};

use super::{resource, stack_trace};
use crate::generate::random::Random;
use crate::generate::trace_builder::{Failure, Process, TraceBuilder};

/// Turns of a conversation. Neighbouring traces belong to one.
const TURNS: u64 = 4;
/// Most calls to the model in one turn.
const MOST_CALLS: u64 = 6;

/// A model, its provider and where it is reached.
const MODELS: [(&str, &str, &str); 4] = [
    ("gpt-4o", "openai", "api.openai.com"),
    ("claude-sonnet-4-5", "anthropic", "api.anthropic.com"),
    (
        "gemini-1.5-pro",
        "gcp.gemini",
        "generativelanguage.googleapis.com",
    ),
    ("qwen-max", "openai", "dashscope.aliyuncs.com"),
];
const AGENTS: [&str; 6] = [
    "research",
    "connection",
    "content_generation",
    "visual",
    "multimedia",
    "validation",
];
const TOOLS: [(&str, f64); 6] = [
    ("web_search", 450.0),
    ("graph_query", 12.0),
    ("read_document", 30.0),
    ("run_code", 900.0),
    ("calculator", 1.0),
    ("send_message", 80.0),
];
const SYSTEM_PROMPT: &str = "You explore concepts and connect them. Use the tools, cite what you \
     found, and say when you do not know.";

/// Which turn of which conversation a trace is, and what was said before.
pub(super) struct Turn {
    conversation: String,
    agent: &'static str,
    model: (&'static str, &'static str, &'static str),
    number: u64,
    history: Vec<Value>,
}

impl Turn {
    /// The turn that trace `number` is. The user's first message holds a document of
    /// `payload_bytes`.
    pub(super) fn new(seed: u64, number: u64, payload_bytes: usize) -> Self {
        // All turns of a conversation draw its beginning from the same source.
        let mut random = Random::new(seed, "conversation", number / TURNS);
        let mut turn = Self {
            conversation: format!("conv_{}", random.hex(24)),
            agent: *random.pick(&AGENTS),
            model: *random.pick(&MODELS),
            number: number % TURNS,
            history: Vec::new(),
        };
        let document = random.prose(payload_bytes);
        let question = random.prose(120);
        turn.history.push(text(
            "user",
            &format!("{question}\n\n<document>\n{document}\n</document>"),
        ));
        for _ in 0..turn.number {
            let (answer, question) = (random.prose(600), random.prose(120));
            turn.history.push(text("assistant", &answer));
            turn.history.push(text("user", &question));
        }
        turn
    }
}

fn text(role: &str, content: &str) -> Value {
    json!({"role": role, "parts": [{"type": "text", "content": content}]})
}

/// A turn in the making.
struct Session {
    trace: TraceBuilder,
    app: Process,
    tools: Process,
    turn: Turn,
    now: u64,
    tokens: [u64; 2],
}

pub(super) fn trace(
    mut trace: TraceBuilder,
    turn: Turn,
    start_unix_nano: u64,
) -> Vec<ResourceSpans> {
    let host = format!("agents-{}", trace.random.skewed(6));
    let mut attributes = resource("concept-explorer", "python", host.clone());
    attributes.push(KeyValue::new("process.runtime.version", "3.12.4"));
    let app = trace.process(
        attributes,
        ("opentelemetry.instrumentation.openai_v2", "2.3"),
    );
    let tools = trace.process(
        resource("tool-server", "nodejs", host),
        ("mcp.server", "1.12.0"),
    );
    let mut root = trace.open(
        app,
        None,
        format!("invoke_agent {}", turn.agent),
        SpanKind::Internal,
        start_unix_nano,
    );
    root.set("gen_ai.operation.name", "invoke_agent")
        .set("gen_ai.provider.name", turn.model.1)
        .set("gen_ai.agent.name", turn.agent)
        .set("gen_ai.conversation.id", turn.conversation.clone())
        .set("gen_ai.request.model", turn.model.0)
        .set("user.id", format!("user-{}", trace.random.skewed(5_000)));
    let mut session = Session {
        trace,
        app,
        tools,
        turn,
        now: start_unix_nano + 300_000,
        tokens: [0; 2],
    };
    let parent = root.id();
    if session.trace.random.chance(0.4) {
        session.retrieve(parent);
    }
    let failure = session.converse(parent);
    root.set("gen_ai.usage.input_tokens", session.tokens[0])
        .set("gen_ai.usage.output_tokens", session.tokens[1]);
    if let Some(failure) = failure {
        root.fail(session.now, &failure);
    }
    session.trace.close(root, session.now + 200_000);
    session.trace.finish()
}

impl Session {
    /// Calls the model until it answers instead of asking for a tool; a failure ends the turn.
    fn converse(&mut self, parent: SpanId) -> Option<Failure> {
        for call in 1..=MOST_CALLS {
            let wants_tool = call < MOST_CALLS && self.trace.random.chance(0.55);
            let tool = wants_tool.then(|| *self.trace.random.pick(&TOOLS));
            if let Some(failure) = self.chat(parent, tool.map(|(name, _)| name)) {
                return Some(failure);
            }
            // Without a tool to call, it was the answer.
            let (name, median_ms) = tool?;
            self.execute_tool(parent, name, median_ms);
        }
        None
    }

    fn chat(&mut self, parent: SpanId, tool: Option<&'static str>) -> Option<Failure> {
        let (model, provider, host) = self.turn.model;
        let name = format!("chat {model}");
        let app = self.app;
        let mut span = self
            .trace
            .open(app, Some(parent), name, SpanKind::Client, self.now);
        let input = Value::from(self.turn.history.clone()).to_string();
        let random = &mut self.trace.random;
        let input_tokens = (input.len() / 4) as u64;
        span.set("gen_ai.operation.name", "chat")
            .set("gen_ai.provider.name", provider)
            .set("gen_ai.request.model", model)
            .set("gen_ai.request.temperature", 0.7)
            .set("gen_ai.request.max_tokens", 2_000)
            .set("gen_ai.conversation.id", self.turn.conversation.clone())
            .set("server.address", host)
            .set("server.port", 443)
            .set(
                "gen_ai.system_instructions",
                json!([{"type": "text", "content": SYSTEM_PROMPT}]).to_string(),
            )
            .set("gen_ai.input.messages", input);
        if random.chance(0.02) {
            self.now += random.nanos(300.0);
            let failure = rate_limited(random, model);
            span.fail(self.now, &failure)
                .set("http.response.status_code", 429);
            self.trace.close(span, self.now);
            return Some(failure);
        }
        let reason = if tool.is_some() { "tool_call" } else { "stop" };
        let answer = match tool {
            Some(tool) => json!({"role": "assistant", "parts": [{
                "type": "tool_call", "id": format!("call_{}", random.hex(16)), "name": tool,
                "arguments": {"query": random.prose(40)},
            }]}),
            None => {
                let bytes = random.log_normal(700.0, 0.6) as usize;
                text("assistant", &random.prose(bytes))
            }
        };
        let mut output = answer.clone();
        output["finish_reason"] = reason.into();
        let output = Value::from(vec![output]).to_string();
        let output_tokens = (output.len() / 4) as u64;
        let cached = input_tokens * random.below(10) / 10;
        let first_chunk_ms = random.log_normal(350.0, 0.4) + input_tokens as f64 / 50.0;
        let total_ms = first_chunk_ms + output_tokens as f64 * random.log_normal(14.0, 0.3);
        span.set("gen_ai.response.id", format!("chatcmpl-{}", random.hex(24)))
            .set("gen_ai.response.model", model)
            .set(
                "gen_ai.response.finish_reasons",
                vec![Attribute::from(reason)],
            )
            .set("gen_ai.response.time_to_first_chunk", first_chunk_ms / 1e3)
            .set("gen_ai.usage.input_tokens", input_tokens)
            .set("gen_ai.usage.cache_read.input_tokens", cached)
            .set("gen_ai.usage.output_tokens", output_tokens)
            .set("gen_ai.output.messages", output);
        self.now += (total_ms * 1e6) as u64;
        self.trace.close(span, self.now);
        self.turn.history.push(answer);
        self.tokens[0] += input_tokens;
        self.tokens[1] += output_tokens;
        None
    }

    /// The tool's span in the agent, and over MCP in the tool's own process.
    fn execute_tool(&mut self, parent: SpanId, name: &'static str, median_ms: f64) {
        let (app, tools) = (self.app, self.tools);
        let start = self.now + 80_000;
        let kind = SpanKind::Internal;
        let title = format!("execute_tool {name}");
        let mut span = self.trace.open(app, Some(parent), title, kind, start);
        let method = format!("tools/call {name}");
        let mut server = self.trace.open(
            tools,
            Some(span.id()),
            method,
            SpanKind::Server,
            start + 400_000,
        );
        let random = &mut self.trace.random;
        let failed = random.chance(0.05);
        let call_id = format!("call_{}", random.hex(16));
        let result = random.prose(400);
        let end = start + 400_000 + random.nanos(median_ms);
        span.set("gen_ai.operation.name", "execute_tool")
            .set("gen_ai.tool.name", name)
            .set("gen_ai.tool.type", "function")
            .set("gen_ai.tool.call.id", call_id.clone())
            .set("gen_ai.tool.call.result", result.clone());
        server
            .set("mcp.method.name", "tools/call")
            .set("mcp.session.id", random.uuid())
            .set("mcp.protocol.version", "2025-06-18")
            .set("gen_ai.tool.name", name)
            .set("jsonrpc.request.id", random.between(1, 500).to_string())
            .set("network.transport", "tcp");
        if failed {
            let failure = tool_failure(name);
            server.fail(end, &failure);
            span.set("error.type", "tool_error")
                .fail_with_message(failure.message);
        }
        self.trace.close(server, end);
        self.now = self.trace.close(span, end + 300_000);
        self.turn.history.push(json!({"role": "tool", "parts": [
            {"type": "tool_call_response", "id": call_id, "response": result}
        ]}));
    }

    /// Embeds the question and looks for documents.
    fn retrieve(&mut self, parent: SpanId) {
        let app = self.app;
        let mut embed = self.trace.open(
            app,
            Some(parent),
            "embeddings text-embedding-3-small",
            SpanKind::Client,
            self.now,
        );
        embed
            .set("gen_ai.operation.name", "embeddings")
            .set("gen_ai.provider.name", "openai")
            .set("gen_ai.request.model", "text-embedding-3-small")
            .set("gen_ai.embeddings.dimension.count", 1_536)
            .set(
                "gen_ai.usage.input_tokens",
                self.trace.random.between(8, 60),
            );
        let end = self.now + self.trace.random.nanos(60.0);
        self.now = self.trace.close(embed, end);
        let title = "retrieval concepts";
        let mut span = self
            .trace
            .open(app, Some(parent), title, SpanKind::Client, self.now);
        let random = &mut self.trace.random;
        let documents: Vec<Value> = (0..random.between(2, 8))
            .map(|_| json!({"id": format!("doc-{}", random.skewed(20_000)), "score": random.fraction()}))
            .collect();
        span.set("gen_ai.operation.name", "retrieval")
            .set("gen_ai.data_source.id", "concepts")
            .set(
                "gen_ai.retrieval.documents",
                Value::from(documents).to_string(),
            )
            .set("db.system.name", "qdrant");
        let end = self.now + random.nanos(15.0);
        self.now = self.trace.close(span, end);
    }
}

fn rate_limited(random: &mut Random, model: &str) -> Failure {
    let exception_type = "openai.RateLimitError";
    let message = format!(
        "Error code: 429 - Rate limit reached for {model}: limit 30000 tokens a minute. Try again \
         in {:.1} s.",
        random.log_normal(4.0, 0.7)
    );
    let frames = [
        (
            "explorer/agents.py",
            "execute",
            "answer = await self.llm.chat(messages)",
        ),
        (
            "explorer/llm.py",
            "chat",
            "response = await self.client.chat.completions.create(**request)",
        ),
    ];
    let stacktrace = stack_trace::python(&frames, exception_type, &message, 52);
    Failure {
        exception_type,
        message,
        stacktrace,
    }
}

fn tool_failure(tool: &'static str) -> Failure {
    let message = format!("{tool}: the upstream service closed the connection");
    let stacktrace = format!(
        "ToolError: {message}\n    at callTool (/srv/tools/{tool}.js:41:11)\n    at async \
         Server.dispatch (/srv/node_modules/@modelcontextprotocol/sdk/server/index.js:212:24)\n"
    );
    Failure {
        exception_type: "ToolError",
        message,
        stacktrace,
    }
}
