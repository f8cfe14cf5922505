import { expect, test } from '@playwright/test';
import { counter, gauge, histogram, nowNano, sendMetrics, uniqueService } from './otlp';

const MINUTE = 60_000_000_000n;

/** A gauge of two workers, a counter and a histogram of the last minutes. */
async function sendEveryKind(what: string) {
  const service = uniqueService(what);
  const base = nowNano() - 5n * MINUTE;
  const workers = Array.from({ length: 40 }, (_, at) => [
    { value: 50 + at, at: at * 1_000, attributes: { worker: 'one' } },
    { value: at === 20 ? Number.NaN : 90 - at, at: at * 1_000, attributes: { worker: 'two' } },
  ]).flat();
  await sendMetrics(service, [
    gauge(`${service}.utilization`, workers, base, '%'),
    counter(`${service}.items`, 4, 60, base),
    histogram(`${service}.latency`, 60, base),
  ]);
  return service;
}

test('metrics are found by service and name, and drawn with a line for each series', async ({
  page,
}) => {
  const service = await sendEveryKind('metrics');
  await page.goto(`/series?service=${service}`);
  const list = page.getByRole('region', { name: 'Metrics' });
  await expect(list.getByRole('button')).toHaveCount(3);
  await page.getByRole('searchbox', { name: 'Search' }).fill('UTIL');
  await expect(list.getByRole('button')).toHaveCount(1);
  await list.getByRole('button', { name: /utilization/ }).click();
  await expect(page).toHaveURL(new RegExp(`metric=${service}.utilization`));
  const chart = page.getByRole('img', { name: /utilization/ });
  await expect(chart).toHaveAccessibleName(/worker=one: 40 points, last 89/);
  await expect(chart).toHaveAccessibleName(/worker=two: 40 points, last 51, 1 value not finite/);
  await expect(page.getByText(`What ${service}.utilization is`)).toBeVisible();
  await page.getByLabel('Tags').fill('worker=two');
  await page.keyboard.press('Enter');
  await expect(page.getByText('1 series', { exact: true })).toBeVisible();
  await page.reload();
  await expect(page.getByRole('img', { name: /utilization. value: 40 points/ })).toBeVisible();
});

test('an open chart is drawn anew as soon as points of its metric are stored', async ({ page }) => {
  const service = uniqueService('metrics-live');
  const base = nowNano() - MINUTE;
  const name = `${service}.depth`;
  await sendMetrics(service, [gauge(name, [{ value: 5, at: 0 }], base)]);
  await page.goto(`/series?service=${service}&metric=${name}`);
  const chart = page.getByRole('img', { name: /depth/ });
  await expect(chart).toHaveAccessibleName(/value: 1 point, last 5/);
  // By itself the page asks again after fifteen seconds: this one is seen for the stream.
  await sendMetrics(service, [gauge(name, [{ value: 7, at: 1_000 }], base)]);
  await expect(chart).toHaveAccessibleName(/value: 2 points, last 7/);
});

test('a counter is drawn as its rate, or as its value', async ({ page }) => {
  const service = await sendEveryKind('metrics-rate');
  await page.goto(`/series?service=${service}`);
  await page.getByRole('button', { name: /items/ }).click();
  const chart = page.getByRole('img', { name: /items/ });
  await expect(chart).toHaveAccessibleName(/rate: 60 points, last 4/);
  await expect(page.getByText('item/s')).toBeVisible();
  await page.getByRole('radio', { name: 'Value' }).click();
  await expect(chart).toHaveAccessibleName(/value: 60 points, last 240/);
});

test('a histogram is drawn as its quantiles over steps', async ({ page }) => {
  const service = await sendEveryKind('metrics-quantiles');
  await page.goto(`/series?service=${service}&metric=${service}.latency`);
  const chart = page.getByRole('img', { name: /latency/ });
  await expect(chart).toHaveAccessibleName(/p50: \d+ points, last 12.5/i);
  await expect(chart).toHaveAccessibleName(/p95: \d+ points, last 35/i);
  await page.getByRole('radio', { name: 'Count' }).click();
  await expect(chart).toHaveAccessibleName(/count: \d+ points/);
});

test('a time without points leads to one that has some', async ({ page }) => {
  const service = uniqueService('metrics-old');
  const base = nowNano() - 300n * MINUTE;
  await sendMetrics(service, [gauge(`${service}.old`, [{ value: 1, at: 0 }], base)]);
  await page.goto(`/series?service=${service}`);
  await page.getByRole('button', { name: /old/ }).click();
  await expect(page.getByRole('heading', { name: 'No points' })).toBeVisible();
  await page.getByRole('button', { name: 'Show all time' }).click();
  await expect(page.getByRole('img', { name: /value: 1 point, last 1/ })).toBeVisible();
});

test('a search of metrics without a hit says what to do', async ({ page }) => {
  await sendEveryKind('metrics-none');
  await page.goto(`/series?service=${uniqueService('nobody')}`);
  await expect(page.getByRole('heading', { name: 'No metric matches' })).toBeVisible();
  await page.getByRole('button', { name: 'Clear filters' }).click();
  await expect(page).not.toHaveURL(/service=/);
});
