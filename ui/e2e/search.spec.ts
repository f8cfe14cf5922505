import { expect, test, type Page } from '@playwright/test';
import { newSpanId, newTraceId, nowNano, sendSpans, uniqueService, type SpanSpec } from './otlp';

const titles = (page: Page) => page.locator('.result-title strong');
const open = (page: Page, service: string, more = '') =>
  page.goto(`/?service=${encodeURIComponent(service)}${more}`);

const root = (name: string, more: Partial<SpanSpec> = {}): SpanSpec => ({
  name,
  traceId: newTraceId(),
  ...more,
});

test('a trace that was sent is found by service, with its facts', async ({ page }) => {
  const service = uniqueService('search-find');
  const traceId = newTraceId();
  const rootId = newSpanId();
  await sendSpans(
    service,
    [
      { name: 'predict', traceId, spanId: rootId, millis: 120 },
      { name: 'infer', traceId, parentSpanId: rootId, start: 10, millis: 80, error: 'no memory' },
    ],
    nowNano(),
  );
  await open(page, service);
  const row = page.getByRole('link', { name: /predict/ });
  await expect(row).toHaveCount(1);
  await expect(row).toContainText(service);
  await expect(row).toContainText('2 spans');
  await expect(row).toContainText('1 error');
  await expect(row).toContainText('120 ms');
  await row.click();
  await expect(page).toHaveURL(new RegExp(`/trace/${traceId}`));
});

test('text, tags, duration and status narrow the list and stay in the URL', async ({ page }) => {
  const service = uniqueService('search-filter');
  await sendSpans(
    service,
    [
      root('fast', { millis: 5, attributes: { model: 'resnet 50', tokens: 12 } }),
      root('slow', { millis: 900, attributes: { model: 'gpt' } }),
      root('broken', { millis: 50, error: 'the-disk-is-full' }),
    ],
    nowNano(),
  );
  await open(page, service);
  await expect(titles(page)).toHaveCount(3);

  await page.getByLabel('Min duration').fill('100ms');
  await page.getByLabel('Min duration').press('Enter');
  await expect(titles(page)).toHaveText(['slow']);
  await expect(page).toHaveURL(/min=100ms/);
  await page.reload();
  await expect(titles(page)).toHaveText(['slow']);
  await expect(page.getByLabel('Min duration')).toHaveValue('100ms');
  await page.getByRole('button', { name: 'Clear', exact: true }).click();

  await open(page, service);
  await page.getByLabel('Tags').fill('model="resnet 50"');
  await page.getByLabel('Tags').press('Enter');
  await expect(titles(page)).toHaveText(['fast']);
  await page.getByRole('button', { name: /Remove tag/ }).click();
  await expect(titles(page)).toHaveCount(3);

  await page.getByRole('radio', { name: 'Error' }).click();
  await expect(titles(page)).toHaveText(['broken']);
  await page.getByRole('radio', { name: 'Any' }).click();

  await page.getByRole('searchbox', { name: 'Search' }).fill('disk-is-full');
  await expect(titles(page)).toHaveText(['broken']);
  await expect(page).toHaveURL(/text=disk-is-full/);
});

test('a service and its operation are chosen from lists', async ({ page }) => {
  const service = uniqueService('search-choose');
  await sendSpans(service, [root('alpha'), root('beta')], nowNano());
  await page.goto('/');
  const field = page.getByRole('combobox', { name: 'Service' });
  await field.fill(service);
  await page.getByRole('option', { name: service }).click();
  await expect(titles(page)).toHaveCount(2);
  await page.getByRole('combobox', { name: 'Operation' }).click();
  await page.getByRole('option', { name: 'alpha' }).click();
  await expect(titles(page)).toHaveText(['alpha']);
  await expect(page).toHaveURL(/operation=alpha/);
});

test('a new trace appears by itself while the reader is at the top', async ({ page }) => {
  const service = uniqueService('search-live');
  await sendSpans(service, [root('first')], nowNano());
  await open(page, service);
  await expect(titles(page)).toHaveText(['first']);
  await expect(page.getByText('live', { exact: true })).toBeVisible();
  await sendSpans(service, [root('second')], nowNano());
  await expect(titles(page)).toHaveText(['second', 'first']);
});

test('new traces wait behind a counter while the reader is down in the list', async ({ page }) => {
  const service = uniqueService('search-wait');
  const base = nowNano();
  const many = Array.from({ length: 45 }, (_, index) => root(`old ${index}`, { start: index }));
  await sendSpans(service, many, base);
  await open(page, service);
  await expect(page.getByRole('heading', { name: '45 traces' })).toBeVisible();
  await expect(page.getByText('live', { exact: true })).toBeVisible();
  const list = page.getByRole('region', { name: 'Result list' });
  await list.evaluate((element) => element.scrollTo({ top: 700 }));
  await expect(titles(page).filter({ hasText: 'old 28' })).toBeVisible();
  const before = await titles(page).filter({ hasText: 'old 28' }).boundingBox();

  await sendSpans(service, [root('newest', { start: 1_000 })], base);
  const offer = page.getByRole('button', { name: 'Show 1 new trace' });
  await expect(offer).toBeVisible();
  expect(await titles(page).filter({ hasText: 'old 28' }).boundingBox()).toEqual(before);
  await expect(titles(page).filter({ hasText: 'newest' })).toHaveCount(0);
  await offer.click();
  await expect(titles(page).first()).toHaveText('newest');
});

test('older pages are loaded as the reader asks', async ({ page }) => {
  const service = uniqueService('search-more');
  const many = Array.from({ length: 60 }, (_, index) => root(`t ${index}`, { start: index }));
  await sendSpans(service, many, nowNano());
  await open(page, service, '&live=0');
  await expect(page.getByRole('heading', { name: '50 traces so far' })).toBeVisible();
  const list = page.getByRole('region', { name: 'Result list' });
  await list.evaluate((element) => element.scrollTo({ top: element.scrollHeight }));
  await page.getByRole('button', { name: 'Load more' }).click();
  await expect(page.getByRole('heading', { name: '60 traces', exact: true })).toBeVisible();
});

test('the keyboard alone finds and opens a trace', async ({ page }) => {
  const service = uniqueService('search-keys');
  await sendSpans(service, [root('older'), root('newer', { start: 50 })], nowNano());
  await open(page, service, '&live=0');
  await expect(titles(page)).toHaveText(['newer', 'older']);
  await page.keyboard.press('/');
  await expect(page.getByRole('searchbox', { name: 'Search' })).toBeFocused();
  await page.keyboard.press('Escape');
  await page.keyboard.press('?');
  await expect(page.getByRole('dialog', { name: 'Keyboard' })).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(page.getByRole('dialog')).toHaveCount(0);
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'older' })).toBeVisible();
});

test('back from a trace, the list is where it was left', async ({ page }) => {
  const service = uniqueService('search-back');
  const many = Array.from({ length: 45 }, (_, index) => root(`t ${index}`, { start: index }));
  await sendSpans(service, many, nowNano());
  await open(page, service, '&live=0');
  const list = page.getByRole('region', { name: 'Result list' });
  await expect(page.getByRole('heading', { name: '45 traces' })).toBeVisible();
  await list.evaluate((element) => element.scrollTo({ top: 600 }));
  await titles(page).filter({ hasText: 't 28' }).click();
  await expect(page.getByRole('heading', { name: 't 28' })).toBeVisible();
  await page.goBack();
  await expect(titles(page).filter({ hasText: 't 28' })).toBeInViewport();
  expect(await list.evaluate((element) => element.scrollTop)).toBe(600);
});

test('a search without a hit says what to do', async ({ page }) => {
  await open(page, uniqueService('nobody'));
  await expect(page.getByRole('heading', { name: 'No trace matches' })).toBeVisible();
  await page.getByRole('button', { name: 'Clear filters' }).click();
  await expect(page).not.toHaveURL(/service=/);
});

test('every status that can be chosen is answered', async ({ page }) => {
  const service = uniqueService('search-status');
  const sent = [
    root('fine', { isOk: true }),
    root('broken', { error: 'no memory', start: 1 }),
    root('plain', { start: 2 }),
  ];
  await sendSpans(service, sent, nowNano());
  await open(page, service);
  await expect(titles(page)).toHaveText(['plain', 'broken', 'fine']);
  await page.getByRole('radio', { name: 'Ok' }).click();
  await expect(titles(page)).toHaveText(['fine']);
  await expect(page.getByText('live', { exact: true })).toBeVisible();
  await page.getByRole('radio', { name: 'Error' }).click();
  await expect(titles(page)).toHaveText(['broken']);
  await open(page, service, '&status=unset');
  await expect(titles(page)).toHaveText(['plain']);
});

test('a stream that the server refuses says why and is not asked for again', async ({ page }) => {
  const service = uniqueService('search-refused');
  await sendSpans(service, [root('only')], nowNano());
  const asked: string[] = [];
  await page.route('**/live/traces?**', (route) => {
    asked.push(route.request().resourceType());
    const error = { code: 'bad_request', message: 'this filter has no stream' };
    return route.fulfill({ status: 400, json: { error } });
  });
  await page.clock.install();
  await open(page, service);
  await expect(page.getByRole('alert')).toContainText('this filter has no stream');
  const before = asked.length;
  await page.clock.runFor(60_000);
  await expect(titles(page)).toHaveText(['only']);
  expect(asked).toHaveLength(before);
});

test('a hidden page holds no stream, and catches up when it is seen again', async ({ page }) => {
  const service = uniqueService('search-hidden');
  await sendSpans(service, [root('first')], nowNano());
  await open(page, service);
  await expect(page.getByText('live', { exact: true })).toBeVisible();
  const setHidden = (hidden: boolean) =>
    page.evaluate((value) => {
      Object.defineProperty(document, 'hidden', { value, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }, hidden);
  const closed = page.waitForEvent('requestfailed', (request) =>
    /live\/traces/.test(request.url()),
  );
  await setHidden(true);
  await closed;
  await sendSpans(service, [root('second', { start: 5 })], nowNano());
  await setHidden(false);
  await expect(titles(page)).toHaveText(['second', 'first']);
  await sendSpans(service, [root('third', { start: 10 })], nowNano());
  await expect(titles(page)).toHaveText(['third', 'second', 'first']);
});
