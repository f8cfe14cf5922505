import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

// Where `npm run dev` finds a Lumitrace server; the built UI is served by that server itself.
const server = process.env.LUMITRACE_URL ?? 'http://127.0.0.1:16686';

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: 'dist',
    // Every asset is a file of its own: the server's content security policy allows no data: fonts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
  },
  server: {
    proxy: {
      '/api': {
        target: server,
        changeOrigin: true,
        configure: (proxy) => {
          // A live stream is open from its headers on, which Node holds back until there is data.
          proxy.on('proxyRes', (_, __, response) => setImmediate(() => response.flushHeaders()));
        },
      },
    },
  },
  test: {
    include: ['src/**/*.test.ts'],
  },
});
