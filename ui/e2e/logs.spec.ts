import { expect, test } from '@playwright/test';
import { newSpanId, newTraceId, nowNano, sendLogs, sendSpans, uniqueService } from './otlp';

/** A trace of two spans, with log records in both and one outside of any trace. */
async function sendTraceWithLogs(what: string) {
  const service = uniqueService(what);
  const traceId = newTraceId();
  const [rootId, stepId] = [newSpanId(), newSpanId()];
  const base = nowNano();
  const spans = [
    { name: 'train', traceId, spanId: rootId, millis: 100 },
    { name: 'step', traceId, spanId: stepId, parentSpanId: rootId, start: 10, millis: 50 },
  ];
  await sendSpans(service, spans, base);
  const [inRoot, inStep] = [
    { traceId, spanId: rootId },
    { traceId, spanId: stepId },
  ];
  const attributes = { epoch: 3, note: '<img src=x onerror=alert(1)>' };
  const logs = [
    { ...inRoot, body: 'training begins', at: 1 },
    { ...inStep, body: 'loss is NaN', at: 20, severity: 13, attributes },
    { ...inStep, body: 'out of memory', at: 30, severity: 17 },
    { body: 'the machine is warm', at: 40, severity: 5 },
  ];
  await sendLogs(service, logs, base);
  return { service, traceId, stepId };
}

test('what was said in a span stands in its details, or of the whole trace', async ({ page }) => {
  const { traceId, stepId } = await sendTraceWithLogs('logs-trace');
  await page.goto(`/trace/${traceId}?span=${stepId}`);
  const details = page.getByRole('complementary', { name: 'Span details' });
  const lines = details.locator('.log-text');
  await expect(lines).toHaveText(['loss is NaN', 'out of memory']);
  await details.getByRole('button', { name: /loss is NaN/ }).click();
  await expect(details.getByLabel('Body', { exact: true })).toHaveText('loss is NaN');
  await expect(details.getByRole('row', { name: /^epoch/ })).toContainText('3');
  await expect(details.getByRole('row', { name: /^note/ })).toContainText('<img src=x');
  expect(await page.locator('img').count()).toBe(0);
  await details.getByRole('radio', { name: 'Whole trace' }).click();
  await expect(lines).toHaveText(['training begins', 'loss is NaN', 'out of memory']);
});

test('logs are found by service, severity and text, and lead to their trace', async ({ page }) => {
  const { service, stepId } = await sendTraceWithLogs('logs-search');
  await page.goto(`/logs?service=${service}`);
  const lines = page.locator('.log-text');
  const all = ['the machine is warm', 'out of memory', 'loss is NaN', 'training begins'];
  await expect(lines).toHaveText(all);
  await page.getByRole('button', { name: /Severity/ }).click();
  await page.getByRole('option', { name: /warn/ }).click();
  await expect(lines).toHaveText(['out of memory', 'loss is NaN']);
  await expect(page).toHaveURL(/level=warn/);
  await page.getByRole('searchbox', { name: 'Search' }).fill('nan');
  await expect(lines).toHaveText(['loss is NaN']);
  await page.reload();
  await expect(lines).toHaveText(['loss is NaN']);
  await page.getByRole('link', { name: /^[0-9a-f]{8}$/ }).click();
  await expect(page).toHaveURL(new RegExp(`span=${stepId}`));
  await expect(page.getByRole('heading', { name: 'step' })).toBeVisible();
});

test('the keyboard alone opens a log record, and new ones appear by themselves', async ({
  page,
}) => {
  const { service } = await sendTraceWithLogs('logs-keys');
  await page.goto(`/logs?service=${service}`);
  const lines = page.locator('.log-text');
  await expect(lines).toHaveCount(4);
  await sendLogs(service, [{ body: 'just now', at: 50 }], nowNano());
  await expect(lines.first()).toHaveText('just now');
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await expect(page.getByLabel('Body', { exact: true })).toHaveText('the machine is warm');
  await page.keyboard.press('Enter');
  await expect(page.getByLabel('Body', { exact: true })).toHaveCount(0);
});

test('what is said while the page is open appears, told by a stream', async ({ page }) => {
  const service = uniqueService('logs-live');
  await sendLogs(service, [{ body: 'said before' }], nowNano());
  const stream = page.waitForResponse(/\/live\/logs\?service=/);
  await page.goto(`/logs?service=${service}`);
  const lines = page.locator('.log-text');
  await expect(lines).toHaveText(['said before']);
  await stream;
  for (const body of ['said now', 'said at last']) {
    await sendLogs(service, [{ body }], nowNano());
    await expect(lines.first()).toHaveText(body);
  }
  await expect(lines).toHaveText(['said at last', 'said now', 'said before']);
});

test('thousands of log records keep few rows alive and go on on demand', async ({ page }) => {
  const service = uniqueService('logs-many');
  const many = Array.from({ length: 1_000 }, (_, at) => ({ body: `line ${at}`, at }));
  await sendLogs(service, many, nowNano());
  await page.goto(`/logs?service=${service}&live=0`);
  await expect(page.getByRole('heading', { name: '200 log records so far' })).toBeVisible();
  const list = page.getByRole('region', { name: 'Log records' });
  await list.evaluate((element) => element.scrollTo({ top: element.scrollHeight }));
  await page.getByRole('button', { name: 'Load more' }).click();
  await expect(page.getByRole('heading', { name: '400 log records so far' })).toBeVisible();
  await list.evaluate((element) => element.scrollTo({ top: element.scrollHeight }));
  await expect(page.getByRole('heading', { name: '600 log records so far' })).toBeVisible();
  expect(await page.locator('.log').count()).toBeLessThan(90);
});

test('a search of logs without a hit says what to do', async ({ page }) => {
  await sendTraceWithLogs('logs-none');
  await page.goto(`/logs?service=${uniqueService('nobody')}`);
  await expect(page.getByRole('heading', { name: 'No log record matches' })).toBeVisible();
  await page.getByRole('button', { name: 'Clear filters' }).click();
  await expect(page).not.toHaveURL(/service=/);
});
