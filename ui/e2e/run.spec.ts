import { expect, test, type Page } from '@playwright/test';
import { newSpanId } from './otlp';
import { TrainingRun } from './training';

const lossChart = (page: Page) => page.getByRole('img', { name: /^Loss\. / });
/** Number of places on the x axis of the loss chart. */
const points = async (page: Page) => Number(await lossChart(page).getAttribute('data-points'));

async function openRun(page: Page, run: TrainingRun) {
  await page.goto('/runs');
  await page.getByRole('link', { name: new RegExp(run.service) }).click();
  await expect(page.getByRole('heading', { name: run.service })).toBeVisible();
}

test('a run is listed with its epoch and its losses, and opens', async ({ page }) => {
  const run = new TrainingRun('run-list');
  const epoch = newSpanId();
  await run.batches(epoch, 20);
  await run.finishEpoch(1, epoch, 20, 0.43);
  await page.goto('/runs');
  const row = page.getByRole('row', { name: new RegExp(run.service) });
  await expect(row).toContainText('1 / 3');
  await expect(row).toContainText('0.4300');
  await openRun(page, run);
  await expect(page.locator('.run-facts')).toContainText('1 / 3');
  await expect(page.locator('.run-facts')).toContainText('0.4300');
});

test('curves and the epoch table move while batches arrive', async ({ page }) => {
  const run = new TrainingRun('run-live');
  const first = newSpanId();
  await run.batches(first, 10);
  await openRun(page, run);
  await expect(lossChart(page)).toBeVisible();
  await expect.poll(() => points(page)).toBe(10);
  await run.batches(first, 15);
  await expect.poll(() => points(page)).toBe(25);
  await run.finishEpoch(1, first, 25, 0.31);
  await expect(page.getByRole('row', { name: /Epoch 1\/3/ })).toContainText('0.3100');
  const second = newSpanId();
  await run.batches(second, 5);
  await run.finishEpoch(2, second, 5, 0.27);
  await expect(page.getByRole('row', { name: /Epoch 2\/3/ })).toContainText('0.2700');
  await expect.poll(() => points(page)).toBeGreaterThanOrEqual(30);
});

test('a loss that is not a number is marked, and leads to its span', async ({ page }) => {
  const run = new TrainingRun('run-nan');
  const epoch = newSpanId();
  const ids = await run.batches(epoch, 12, 7);
  await run.finishEpoch(1, epoch, 12, 0.5);
  await openRun(page, run);
  await expect(lossChart(page)).toHaveAccessibleName(/1 value not finite/);
  await page.getByRole('alert', { name: 'Errors' }).getByRole('link').first().click();
  await expect(page).toHaveURL(new RegExp(`/trace/${run.traceId}\\?span=${ids[7]}`));
  const details = page.getByRole('complementary', { name: 'Span details' });
  await expect(details.getByRole('row', { name: /^loss/ })).toContainText('NaN');
});

test('an epoch opens to its batches, and a batch to the waterfall', async ({ page }) => {
  const run = new TrainingRun('run-batches');
  const epoch = newSpanId();
  const ids = await run.batches(epoch, 30);
  await run.finishEpoch(1, epoch, 30, 0.4);
  await openRun(page, run);
  await page.getByRole('button', { name: /Batches of epoch/ }).click();
  const list = page.getByRole('region', { name: /30 batches/ });
  await expect(list.getByRole('link').first()).toBeVisible();
  await expect(list).toContainText('loss 1');
  await list.getByRole('link').first().click();
  await expect(page).toHaveURL(new RegExp(`span=${ids[0]}`));
  await expect(page.getByRole('row', { selected: true })).toContainText('batch_processing');
});

test('the axis, the logarithm and the smoothing are chosen by keyboard', async ({ page }) => {
  const run = new TrainingRun('run-axis');
  await run.batches(newSpanId(), 12);
  await openRun(page, run);
  await expect(lossChart(page)).toBeVisible();
  await page.getByRole('radio', { name: 'Wall time' }).focus();
  await page.keyboard.press('Space');
  await expect(page.getByRole('radio', { name: 'Wall time' })).toBeChecked();
  await page.getByRole('button', { name: 'Log y' }).focus();
  await page.keyboard.press('Space');
  await expect(page.getByRole('button', { name: 'Log y' })).toHaveAttribute('aria-pressed', 'true');
  const slider = page.getByRole('slider', { name: 'Smoothing' });
  const before = Number(await slider.inputValue());
  await slider.focus();
  await page.keyboard.press('ArrowRight');
  expect(Number(await slider.inputValue())).toBeGreaterThan(before);
  await expect.poll(() => points(page)).toBe(12);
});

test('task metrics get charts of their own, and what was said once is a value', async ({
  page,
}) => {
  const run = new TrainingRun('run-metrics');
  const first = newSpanId();
  await run.batches(first, 12);
  await run.finishEpoch(1, first, 12, 0.4);
  await openRun(page, run);
  const chart = (name: string) =>
    page.getByRole('region', { name: 'Metrics' }).getByRole('figure').filter({ hasText: name });
  const single = page.getByRole('region', { name: 'Single values' });
  await expect(chart('task.direction')).toBeVisible();
  await expect(single).toContainText('val.accuracy');
  await expect(chart('val.accuracy')).toHaveCount(0);
  const second = newSpanId();
  await run.batches(second, 12);
  await run.finishEpoch(2, second, 12, 0.3);
  await expect(chart('val.accuracy')).toBeVisible();
  await expect(single).toHaveCount(0);
});
