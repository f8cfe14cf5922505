import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect, test, type Page } from '@playwright/test';
import { gauge, newSpanId, nowNano, sendLogs, sendMetrics } from './otlp';
import { TrainingRun } from './training';

const axeSource = readFileSync(
  createRequire(import.meta.url).resolve('axe-core/axe.min.js'),
  'utf8',
);

interface Violation {
  id: string;
  impact: string;
  nodes: { target: string[]; failureSummary: string }[];
}

/** Serious faults that the accessibility checker finds, as readable lines. */
async function accessibilityFaults(page: Page): Promise<string[]> {
  await page.evaluate(axeSource);
  const violations = (await page.evaluate(
    `axe.run({ resultTypes: ['violations'] }).then((result) => result.violations)`,
  )) as Violation[];
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`);
}

const background = (page: Page) =>
  page.evaluate(() => getComputedStyle(document.body).backgroundColor);

test('the theme follows the system until the reader chooses, and stays chosen', async ({
  page,
}) => {
  await page.emulateMedia({ colorScheme: 'light' });
  await page.goto('/');
  const light = await background(page);
  await page.emulateMedia({ colorScheme: 'dark' });
  const dark = await background(page);
  expect(dark).not.toBe(light);
  const button = page.getByRole('button', { name: /^Theme:/ });
  await button.click();
  expect(await background(page)).toBe(light);
  await button.click();
  await page.emulateMedia({ colorScheme: 'light' });
  expect(await background(page)).toBe(dark);
  await page.reload();
  await expect(button).toHaveAccessibleName(/dark/);
  expect(await background(page)).toBe(dark);
});

for (const colorScheme of ['light', 'dark'] as const) {
  test(`pages have no serious accessibility fault, ${colorScheme}`, async ({ page }) => {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    const run = new TrainingRun(`looks-${colorScheme}`);
    const epoch = newSpanId();
    await run.batches(epoch, 12, 5);
    await run.finishEpoch(1, epoch, 12, 0.4);

    await page.goto(`/?service=${run.service}`);
    await expect(page.locator('.result').first()).toBeVisible();
    expect(await accessibilityFaults(page)).toEqual([]);

    const said = [1, 5, 9, 13, 17, 21].map((severity, at) => ({
      body: `severity ${severity}`,
      traceId: run.traceId,
      spanId: epoch,
      severity,
      at,
    }));
    await sendLogs(run.service, said, nowNano());
    await page.goto(`/trace/${run.traceId}?span=${epoch}`);
    const details = page.getByRole('complementary', { name: 'Span details' });
    await expect(details.getByText('severity 21')).toBeVisible();
    await expect(page.getByRole('row').first()).toBeVisible();
    expect(await accessibilityFaults(page)).toEqual([]);

    await page.goto(`/logs?service=${run.service}`);
    await page.getByRole('button', { name: /severity 17/ }).click();
    await expect(page.getByLabel('Body', { exact: true })).toBeVisible();
    expect(await accessibilityFaults(page)).toEqual([]);

    const points = [1, 2, 3].map((value, at) => ({ value, at, attributes: { worker: at } }));
    await sendMetrics(run.service, [gauge(`${run.service}.gauge`, points, nowNano())]);
    await page.goto(`/series?service=${run.service}&metric=${run.service}.gauge`);
    await expect(page.getByRole('img', { name: /gauge/ })).toBeVisible();
    expect(await accessibilityFaults(page)).toEqual([]);

    await page.goto('/runs');
    await page.getByRole('link', { name: new RegExp(run.service) }).click();
    await expect(page.getByRole('img', { name: /^Loss\. / })).toBeVisible();
    await page.getByRole('button', { name: /Batches of epoch/ }).click();
    await expect(page.getByRole('region', { name: /12 batches/ })).toBeVisible();
    expect(await accessibilityFaults(page)).toEqual([]);
  });
}

test('no page breaks the content security policy or throws', async ({ page }) => {
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(message.text());
  });
  for (const path of ['/', '/logs', '/series', '/runs', '/search?range=1h']) {
    await page.goto(path);
    await expect(page.getByRole('heading', { level: 1 })).toHaveCount(1);
  }
  expect(problems).toEqual([]);
});
