/** What a new reader sees: how the first trace gets here, with commands that work as they stand. */
import { useState } from 'react';
import type { ServerStatus } from '../api/contract';
import { endpointUrl, trainingProgram } from '../examples/examples';
import { CodeBlock, EmptyState } from '../widgets/messages';
import { Segments } from '../widgets/Picker';

type Way = 'curl' | 'python' | 'otel';

const WAYS: { id: Way; label: string }[] = [
  { id: 'curl', label: 'One span with curl' },
  { id: 'python', label: 'Python, training' },
  { id: 'otel', label: 'Any OpenTelemetry SDK' },
];

export function FirstTrace({ status }: { status: ServerStatus }) {
  const [way, setWay] = useState<Way>('curl');
  const [ids] = useState(() => ({ trace: randomHex(32), span: randomHex(16), now: Date.now() }));
  const endpoint = endpointUrl(status.endpoints.otlp_http, window.location.hostname);
  const text = {
    curl: curlCommand(endpoint, ids),
    python: trainingProgram(endpoint),
    otel: `export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\nexport OTEL_EXPORTER_OTLP_ENDPOINT=${endpoint}\nexport OTEL_SERVICE_NAME=my-service`,
  }[way];
  return (
    <EmptyState title="Waiting for the first trace">
      <p>
        The server listens at <span className="code">{endpoint}</span>. Send it a trace: it appears
        here by itself.
      </p>
      <Segments
        label="Way to send a trace"
        choices={WAYS}
        value={way}
        onChange={(next) => setWay(next as Way)}
      />
      <CodeBlock label="Send a first trace" text={text} />
    </EmptyState>
  );
}

function randomHex(length: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(length / 2));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function curlCommand(
  endpoint: string,
  { trace, span, now }: { trace: string; span: string; now: number },
): string {
  return [
    `curl ${endpoint}/v1/traces -H 'content-type: application/json' -d '{`,
    `  "resourceSpans": [{`,
    `    "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "hello"}}]},`,
    `    "scopeSpans": [{"spans": [{`,
    `      "traceId": "${trace}", "spanId": "${span}",`,
    `      "name": "first span", "kind": 1,`,
    `      "startTimeUnixNano": "${now}000000", "endTimeUnixNano": "${now + 250}000000"`,
    `    }]}]`,
    `  }]`,
    `}'`,
  ].join('\n');
}
