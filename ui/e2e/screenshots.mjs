// Saves search.png, trace.png, run.png (light) and run-dark.png from a live server.
// Usage: LUMITRACE_URL=http://127.0.0.1:16686 npm run screenshots -- <folder>
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from '@playwright/test';

const base = process.env.LUMITRACE_URL ?? 'http://127.0.0.1:16686';
const folder = process.argv[2] ?? 'screenshots';

async function api(path) {
  const response = await fetch(`${base}/api/lumitrace/v1${path}`);
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json();
}

/** The run with the most to show: the newest that has several epochs, or simply the newest. */
async function findRun() {
  const { runs } = await api('/runs');
  const run = runs.find(({ epoch, batch_count }) => epoch > 1 && batch_count > 0) ?? runs[0];
  if (run === undefined) throw new Error(`${base} has no training run; start one first`);
  return run;
}

async function shoot(browser, colorScheme, path, ready, name) {
  const page = await browser.newPage({
    viewport: { width: 1440, height: 900 },
    colorScheme,
    reducedMotion: 'reduce',
  });
  await page.goto(base + path);
  await page.locator(ready).first().waitFor();
  await page.evaluate(() => document.fonts.ready);
  await page.screenshot({ path: join(folder, name), animations: 'disabled' });
  await page.close();
}

const run = await findRun();
const view = await api(`/runs/${encodeURIComponent(run.run_id)}`);
const epoch = view.epochs.at(-1);
const span = view.errors[0] ?? epoch?.validations[0] ?? epoch;
const trace = span?.trace_id ?? run.trace_ids[0];
mkdirSync(folder, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.LUMITRACE_CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
const runPath = `/runs/${encodeURIComponent(run.run_id)}`;
const curve = '.chart canvas';
try {
  await shoot(browser, 'light', '/', '.result', 'search.png');
  const selected = span ? `?span=${span.span_id}` : '';
  const ready = span ? '.span-panel h2' : '.bar';
  await shoot(browser, 'light', `/trace/${trace}${selected}`, ready, 'trace.png');
  await shoot(browser, 'light', runPath, curve, 'run.png');
  await shoot(browser, 'dark', runPath, curve, 'run-dark.png');
} finally {
  await browser.close();
}
