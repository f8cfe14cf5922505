/** A small training run, sent bit by bit as a trainer would. */
import { newSpanId, newTraceId, nowNano, sendSpans, uniqueService, type SpanSpec } from './otlp';

const BATCH_MILLIS = 10;

export class TrainingRun {
  readonly service: string;
  readonly runId: string;
  readonly traceId = newTraceId();
  readonly base = nowNano() - 60_000_000_000n;
  readonly epochs = 3;
  private step = 0;

  constructor(what: string) {
    this.service = uniqueService(what);
    this.runId = `${this.service}-run`;
  }

  private send(spans: SpanSpec[]) {
    return sendSpans(this.service, spans, this.base, {
      'run.id': this.runId,
      'service.instance.id': this.runId,
      'host.name': 'lab-7',
      'process.pid': 4242,
      'deployment.environment.name': 'test',
    });
  }

  /** Batches of one epoch, each with a falling loss; `bad` makes the loss of one of them NaN. */
  async batches(epochSpanId: string, count: number, bad?: number): Promise<string[]> {
    const ids: string[] = [];
    const spans = Array.from({ length: count }, (_, index) => {
      const spanId = newSpanId();
      ids.push(spanId);
      const step = this.step + index;
      const isBad = index === bad;
      return {
        name: 'batch_processing',
        traceId: this.traceId,
        spanId,
        parentSpanId: epochSpanId,
        start: step * BATCH_MILLIS,
        millis: BATCH_MILLIS - 2,
        attributes: {
          batch_index: index,
          step,
          batch_size: 32,
          loss: isBad ? Number.NaN : 1.5 / (step + 1.5),
          'task.direction': 0.7 / (step + 1.3),
        },
        ...(isBad ? { error: 'loss is NaN' } : {}),
      };
    });
    this.step += count;
    await this.send(spans);
    return ids;
  }

  /** Ends epoch `epoch` of `size` batches: its span and its validation. */
  async finishEpoch(epoch: number, epochSpanId: string, size: number, valLoss: number) {
    const start = (epoch - 1) * size * BATCH_MILLIS;
    await this.send([
      {
        name: 'validation',
        traceId: this.traceId,
        parentSpanId: epochSpanId,
        start: start + size * BATCH_MILLIS - 5,
        millis: 4,
        attributes: { val_loss: valLoss, 'val.accuracy': 0.51 },
      },
      {
        name: 'training_epoch',
        traceId: this.traceId,
        spanId: epochSpanId,
        start,
        millis: size * BATCH_MILLIS,
        attributes: {
          epoch,
          total_epochs: this.epochs,
          train_loss: valLoss + 0.01,
          val_loss: valLoss,
        },
      },
    ]);
  }
}
