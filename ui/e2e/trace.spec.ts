import { expect, test, type Page } from '@playwright/test';
import { newSpanId, newTraceId, nowNano, sendSpans, uniqueService, type SpanSpec } from './otlp';

const STACK =
  'Traceback (most recent call last):\n  File "train.py", line 12, in step\nValueError: x';

const rows = (page: Page) => page.getByRole('row');
const row = (page: Page, name: string | RegExp) => page.getByRole('row', { name });

/** root → (load, train → (step 1, step 2 with an exception)). */
async function sendTree(what: string) {
  const traceId = newTraceId();
  const [rootId, trainId] = [newSpanId(), newSpanId()];
  const failedId = newSpanId();
  const spans: SpanSpec[] = [
    { name: 'root', traceId, spanId: rootId, millis: 100 },
    { name: 'load', traceId, parentSpanId: rootId, start: 1, millis: 20 },
    { name: 'train', traceId, spanId: trainId, parentSpanId: rootId, start: 25, millis: 70 },
    { name: 'step one', traceId, parentSpanId: trainId, start: 26, millis: 20 },
    {
      name: 'step two',
      traceId,
      spanId: failedId,
      parentSpanId: trainId,
      start: 50,
      millis: 40,
      error: 'x',
      attributes: {
        note: '<img src=x onerror=alert(1)>',
        big: 9223372036854775807n,
        loss: Number.NaN,
        device: 'cpu',
      },
      events: [
        {
          name: 'exception',
          at: 60,
          attributes: {
            'exception.type': 'ValueError',
            'exception.message': 'x is not what was meant',
            'exception.stacktrace': STACK,
          },
        },
      ],
    },
  ];
  await sendSpans(uniqueService(what), spans, nowNano(), { 'host.name': 'lab-7' });
  return { traceId, failedId };
}

test('the waterfall shows the tree with levels, durations and errors', async ({ page }) => {
  const { traceId } = await sendTree('trace-tree');
  await page.goto(`/trace/${traceId}`);
  await expect(page.getByRole('heading', { name: 'root' })).toBeVisible();
  const grid = page.getByRole('treegrid', { name: 'Spans' });
  await expect(grid).toHaveAttribute('aria-rowcount', '5');
  await expect(rows(page)).toHaveCount(5);
  const levels = await rows(page).evaluateAll((all) =>
    all.map((one) => one.getAttribute('aria-level')),
  );
  expect(levels).toEqual(['1', '2', '2', '3', '3']);
  await expect(row(page, /step two/)).toContainText('40.0 ms');
  await expect(row(page, /step two/)).toContainText('error');
  const root = await rows(page).first().locator('.bar').boundingBox();
  const step = await row(page, /step two/)
    .locator('.bar')
    .boundingBox();
  expect((step?.width ?? 0) / (root?.width ?? 1)).toBeCloseTo(0.4, 1);
});

test('the keyboard walks, folds and opens spans', async ({ page }) => {
  const { traceId, failedId } = await sendTree('trace-keys');
  await page.goto(`/trace/${traceId}`);
  const grid = page.getByRole('treegrid');
  await expect(rows(page)).toHaveCount(5);
  await grid.focus();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowLeft');
  await expect(rows(page)).toHaveCount(3);
  await expect(row(page, /train/)).toHaveAttribute('aria-expanded', 'false');
  await page.keyboard.press('ArrowRight');
  await expect(rows(page)).toHaveCount(5);
  await page.keyboard.press('End');
  await page.keyboard.press('Enter');
  const details = page.getByRole('complementary', { name: 'Span details' });
  await expect(details.getByRole('heading', { name: 'step two' })).toBeVisible();
  await expect(page).toHaveURL(new RegExp(`span=${failedId}`));
  await page.keyboard.press('ArrowUp');
  await expect(details.getByRole('heading', { name: 'step one' })).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(details).toHaveCount(0);
});

test('details show attributes by type, events, exception and resource as text', async ({
  page,
}) => {
  const { traceId, failedId } = await sendTree('trace-details');
  let dialogs = 0;
  page.on('dialog', (dialog) => {
    dialogs += 1;
    void dialog.dismiss();
  });
  await page.goto(`/trace/${traceId}?span=${failedId}`);
  const details = page.getByRole('complementary', { name: 'Span details' });
  const exception = details.getByRole('region', { name: 'Exception' });
  await expect(exception).toContainText('ValueError');
  await expect(exception).toContainText('x is not what was meant');
  await expect(exception.locator('pre')).toHaveText(STACK);
  await expect(details.getByRole('row', { name: /^note/ })).toContainText(
    '<img src=x onerror=alert(1)>',
  );
  await expect(details.getByRole('row', { name: /^big/ })).toContainText('9223372036854775807');
  await expect(details.getByRole('row', { name: /^loss/ })).toContainText('NaN');
  await expect(details.getByText('+10.0 ms')).toBeVisible();
  await details.getByText('Resource').click();
  await expect(details.getByRole('row', { name: /host\.name/ })).toContainText('lab-7');
  expect(await page.locator('img').count()).toBe(0);
  expect(dialogs).toBe(0);
});

test('errors only and find lead to the span that matters', async ({ page }) => {
  const { traceId } = await sendTree('trace-find');
  await page.goto(`/trace/${traceId}`);
  await page.getByRole('button', { name: /Errors only/ }).click();
  await expect(rows(page)).toHaveCount(3);
  await page.getByRole('button', { name: /Errors only/ }).click();
  await page.keyboard.press('/');
  await page.keyboard.type('step');
  await expect(page.getByRole('status')).toHaveText('2');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('status')).toHaveText('1 of 2');
  await page.keyboard.press('Enter');
  await expect(row(page, /step two/)).toHaveClass(/cursor/);
  await expect(page).toHaveURL(/find=step/);
});

test('keys zoom in on a span and back to the whole trace', async ({ page }) => {
  const { traceId } = await sendTree('trace-zoom');
  await page.goto(`/trace/${traceId}`);
  const bar = row(page, /load/).locator('.bar');
  const before = await bar.boundingBox();
  await row(page, /load/).click();
  await page.keyboard.press('Escape');
  await page.keyboard.press('f');
  await expect(page.getByRole('button', { name: 'Reset zoom' })).toBeVisible();
  await expect
    .poll(async () => (await bar.boundingBox())?.width ?? 0)
    .toBeGreaterThan((before?.width ?? 0) * 3);
  await page.keyboard.press('0');
  await expect(page.getByRole('button', { name: 'Reset zoom' })).toHaveCount(0);
});

test('thirty thousand spans keep few rows alive and reach the last one', async ({ page }) => {
  const service = uniqueService('trace-large');
  const traceId = newTraceId();
  const rootId = newSpanId();
  const base = nowNano();
  const count = 30_000;
  await sendSpans(service, [{ name: 'job', traceId, spanId: rootId, millis: count }], base);
  for (let from = 1; from < count; from += 5_000) {
    const size = Math.min(5_000, count - from);
    const part = Array.from({ length: size }, (_, index) => ({
      name: `item ${from + index}`,
      traceId,
      parentSpanId: rootId,
      start: from + index,
      millis: 1,
    }));
    await sendSpans(service, part, base);
  }
  await page.goto(`/trace/${traceId}`);
  const grid = page.getByRole('treegrid');
  await expect(grid).toHaveAttribute('aria-rowcount', String(count));
  await grid.focus();
  await page.keyboard.press('End');
  await expect(row(page, /item 29,?999/)).toBeVisible();
  expect(await rows(page).count()).toBeLessThan(80);
});

test('a span in progress is shown as running and completes by itself', async ({ page }) => {
  const service = uniqueService('trace-running');
  const traceId = newTraceId();
  const spanId = newSpanId();
  const base = nowNano();
  const spec: SpanSpec = { name: 'long job', traceId, spanId, millis: 5 };
  await sendSpans(service, [{ ...spec, attributes: { 'lumitrace.pending': true } }], base);
  await page.goto(`/trace/${traceId}`);
  await expect(page.getByText('running', { exact: true })).toBeVisible();
  await expect(row(page, /long job/)).toContainText('so far');
  await sendSpans(service, [{ ...spec, millis: 1_500 }], base);
  await expect(row(page, /long job/)).toContainText('1.50 s');
  await expect(page.getByText('running', { exact: true })).toHaveCount(0);
});

test('a trace that is not there is explained', async ({ page }) => {
  await page.goto(`/trace/${newTraceId()}`);
  await expect(page.getByRole('heading', { name: 'This trace is not here' })).toBeVisible();
});

test('a trace that is kept says so, also when it is opened again', async ({ page }) => {
  const { traceId } = await sendTree('trace-keep');
  await page.goto(`/trace/${traceId}`);
  await page.getByRole('button', { name: 'Keep' }).click();
  await expect(page.getByRole('button', { name: 'Kept' })).toBeDisabled();
  await page.reload();
  await expect(page.getByRole('button', { name: 'Kept' })).toBeDisabled();
});
