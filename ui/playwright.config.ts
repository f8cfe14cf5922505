import { defineConfig } from '@playwright/test';

/**
 * The browser tests drive a server that runs already: LUMITRACE_URL is its UI, LUMITRACE_OTLP_URL
 * its OTLP/HTTP endpoint. Each test sends its own spans under a service name of its own, so that
 * tests neither wait for each other nor mind what else the server holds.
 */
export default defineConfig({
  testDir: 'e2e',
  outputDir: 'test-results',
  fullyParallel: true,
  workers: 2,
  retries: 0,
  timeout: 60_000,
  expect: { timeout: 15_000 },
  reporter: [['list']],
  use: {
    baseURL: process.env.LUMITRACE_URL ?? 'http://127.0.0.1:16686',
    viewport: { width: 1440, height: 900 },
    trace: 'retain-on-failure',
    launchOptions: {
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
    },
  },
});
