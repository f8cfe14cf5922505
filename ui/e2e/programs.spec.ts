import { expect, test, type APIRequestContext } from '@playwright/test';

/**
 * Pages over what real programs sent: both trainers, each with both of its programs, and
 * OpenTelemetry's own SDKs for Python and JavaScript. `cargo xtask test browser` runs them all
 * before these tests start.
 */

interface Run {
  run_id: string;
  service_name: string;
  batch_count: number;
  trace_ids: string[];
}

async function runsOf(request: APIRequestContext, service: string): Promise<Run[]> {
  const answer = await request.get(`/api/lumitrace/v1/runs?service=${service}`);
  return ((await answer.json()) as { runs: Run[] }).runs;
}

for (const service of ['sequence-training', 'sequence-multitask-training']) {
  test(`${service}: the run of each language shows epochs, curves and validation`, async ({
    page,
    request,
  }) => {
    const runs = await runsOf(request, service);
    expect(runs, 'one run from Rust, one from Python').toHaveLength(2);
    for (const run of runs) {
      await page.goto(`/runs/${run.run_id}`);
      await expect(page.getByRole('heading', { name: service })).toBeVisible();
      await expect(page.locator('.run-facts')).toContainText('2 / 2');
      const chart = page.getByRole('img', { name: /^Loss\. / });
      await expect
        .poll(async () => Number(await chart.getAttribute('data-points')))
        .toBeGreaterThanOrEqual(run.batch_count);
      expect(run.batch_count).toBeGreaterThan(10);
      await expect(page.getByRole('row', { name: /Epoch 1\/2/ })).toBeVisible();
      await expect(page.getByRole('row', { name: /Epoch 2\/2/ })).toBeVisible();
      await expect(page.getByText('data_loading').first()).toBeVisible();
      await expect(page.getByText('feature_engineering').first()).toBeVisible();
    }
  });

  test(`${service}: the waterfall has the documented tree`, async ({ page, request }) => {
    for (const run of await runsOf(request, service)) {
      expect(run.trace_ids, 'a run is one trace').toHaveLength(1);
      await page.goto(`/trace/${run.trace_ids[0]}`);
      const rows = page.getByRole('treegrid').getByRole('row');
      await expect(rows.filter({ hasText: 'data_loading' })).toHaveAttribute('aria-level', '2');
      const epoch = rows.filter({ hasText: /training_epoch\s*\(1\/2\)/ });
      await expect(epoch).toHaveAttribute('aria-level', '2');
      const batch = rows.filter({ hasText: /batch_processing/ }).first();
      await expect(batch).toHaveAttribute('aria-level', '3');
      await batch.click();
      const details = page.getByRole('complementary', { name: 'Span details' });
      await expect(details.getByRole('row', { name: /^batch_size/ })).toContainText('32');
      await expect(details.getByRole('row', { name: /^loss/ })).toBeVisible();
    }
  });
}

test('the multi-task run draws a curve for every task', async ({ page, request }) => {
  for (const run of await runsOf(request, 'sequence-multitask-training')) {
    await page.goto(`/runs/${run.run_id}`);
    for (const task of ['direction', 'volatility', 'trend', 'return', 'topk_prices']) {
      await expect(page.getByText(`task.${task}`, { exact: true }).first()).toBeAttached();
    }
  }
});

test('a trace of OpenTelemetry for Python is found by its failed span', async ({ page }) => {
  await page.goto('/?service=opentelemetry-python-client');
  await page.getByRole('link', { name: /POST \/checkout/ }).click();
  const failed = page.getByRole('row', { name: /charge_card/ });
  await failed.click();
  const details = page.getByRole('complementary', { name: 'Span details' });
  await expect(details).toContainText('ConnectionError');
  await expect(details).toContainText('the payment service does not answer');
  await expect(details).toContainText('Traceback');
});

test('what OpenTelemetry for Python logs stands beside the span it was said in', async ({
  page,
}) => {
  await page.goto('/logs?service=opentelemetry-python-client&level=error');
  const said = page.getByRole('button', { name: /payment failed for order 17/ });
  await expect(said).toContainText('error');
  await page.getByRole('link', { name: /^[0-9a-f]{8}$/ }).click();
  const details = page.getByRole('complementary', { name: 'Span details' });
  await expect(details.getByRole('heading', { name: 'POST /checkout' })).toBeVisible();
  await expect(details.getByRole('button', { name: /payment failed/ })).toBeVisible();
});

test('what OpenTelemetry for Python measures is drawn, whatever its kind', async ({ page }) => {
  const service = 'opentelemetry-python-client';
  const of = (metric: string) => `/series?service=${service}&range=all&metric=${metric}`;
  await page.goto(of('checkout.orders'));
  const chart = page.getByRole('img', { name: /^checkout/ });
  await expect(page.getByText('Orders placed')).toBeVisible();
  await page.getByRole('radio', { name: 'Value' }).click();
  await expect(chart).toHaveAccessibleName(/kind=book: 1 point, last 2/);
  await expect(chart).toHaveAccessibleName(/kind=lamp: 1 point, last 1/);
  await page.goto(of('checkout.stock'));
  await expect(chart).toHaveAccessibleName(/last 17/);
  for (const metric of ['checkout.duration', 'checkout.size']) {
    await page.goto(`${of(metric)}&show=count`);
    await expect(chart).toHaveAccessibleName(/count: 1 point, last 100/);
    await page.getByRole('radio', { name: 'p50' }).click();
    await expect(chart).toHaveAccessibleName(/p50: 1 point, last /);
  }
});

test('a trace of OpenTelemetry for JavaScript shows its spans, values and exception', async ({
  page,
}) => {
  await page.goto('/?service=opentelemetry-javascript-client');
  await page.getByRole('link', { name: /GET \/products/ }).click();
  await page.getByRole('row', { name: /query_catalogue/ }).click();
  const details = page.getByRole('complementary', { name: 'Span details' });
  await expect(details.getByRole('row', { name: /^ratio/ })).toContainText('0.25');
  await page.getByRole('row', { name: /render_template/ }).click();
  await expect(details).toContainText('TypeError');
});
