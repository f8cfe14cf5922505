/** The addresses of the UI. The server answers all of them with the same page. */
import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Link,
} from '@tanstack/react-router';
import { logFiltersFromUrl, logFiltersToUrl } from '../logs/log_filters';
import { metricFiltersFromUrl, metricFiltersToUrl } from '../metrics/metric_filters';
import { filtersFromUrl, filtersToUrl } from '../search/filters';
import { SearchPage } from '../search/SearchPage';
import { EmptyState, ErrorState } from '../widgets/messages';
import type { UrlParameters } from '../widgets/time_range';
import { Shell } from './Shell';

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });

const validateSearch = (url: Record<string, unknown>) =>
  filtersToUrl(filtersFromUrl(url as UrlParameters));

const home = createRoute({
  getParentRoute: () => root,
  path: '/',
  validateSearch,
  component: SearchPage,
});

/** The address that other tools use for their search page. */
const search = createRoute({
  getParentRoute: () => root,
  path: '/search',
  validateSearch,
  component: SearchPage,
});

const trace = createRoute({
  getParentRoute: () => root,
  path: '/trace/$traceId',
  validateSearch: (url: Record<string, unknown>): { span?: string; find?: string } => ({
    ...(typeof url['span'] === 'string' ? { span: url['span'] } : {}),
    ...(typeof url['find'] === 'string' ? { find: url['find'] } : {}),
  }),
  component: lazyRouteComponent(() => import('../trace/TracePage'), 'TracePage'),
});

const logs = createRoute({
  getParentRoute: () => root,
  path: '/logs',
  validateSearch: (url: Record<string, unknown>) =>
    logFiltersToUrl(logFiltersFromUrl(url as UrlParameters)),
  component: lazyRouteComponent(() => import('../logs/LogsPage'), 'LogsPage'),
});

/** At `/metrics` the server tells Prometheus about itself. */
const metrics = createRoute({
  getParentRoute: () => root,
  path: '/series',
  validateSearch: (url: Record<string, unknown>) =>
    metricFiltersToUrl(metricFiltersFromUrl(url as UrlParameters)),
  component: lazyRouteComponent(() => import('../metrics/MetricsPage'), 'MetricsPage'),
});

const runs = createRoute({
  getParentRoute: () => root,
  path: '/runs',
  component: lazyRouteComponent(() => import('../runs/RunsPage'), 'RunsPage'),
});

const run = createRoute({
  getParentRoute: () => root,
  path: '/runs/$runId',
  component: lazyRouteComponent(() => import('../runs/RunPage'), 'RunPage'),
});

function NotFound() {
  return (
    <EmptyState title="There is no such page">
      <p>
        <Link to="/">Search traces</Link> or look at the <Link to="/runs">training runs</Link>.
      </p>
    </EmptyState>
  );
}

export const router = createRouter({
  routeTree: root.addChildren([home, search, trace, logs, metrics, runs, run]),
  scrollRestoration: true,
  // Parameters stay plain text in the URL, so that people can read, write and share them.
  parseSearch: (text) => {
    const url: Record<string, string | string[]> = {};
    for (const [key, value] of new URLSearchParams(text)) {
      const old = url[key];
      url[key] = old === undefined ? value : Array.isArray(old) ? [...old, value] : [old, value];
    }
    return url;
  },
  stringifySearch: (url) => {
    const query = new URLSearchParams();
    for (const [key, value] of Object.entries(url as UrlParameters)) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (one !== undefined) query.append(key, one);
      }
    }
    const text = query.toString();
    return text === '' ? '' : `?${text}`;
  },
  defaultErrorComponent: ({ error, reset }) => (
    <ErrorState error={error instanceof Error ? error : new Error(String(error))} onRetry={reset} />
  ),
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
