/** The frame of every page: brand, navigation, the server's state, theme and help. */
import { useQuery } from '@tanstack/react-query';
import { Link, Outlet } from '@tanstack/react-router';
import { useState } from 'react';
import { Button, Dialog, DialogTrigger, Popover } from 'react-aria-components';
import { serverStatus } from '../api/queries';
import { formatBytes, formatCount } from '../format/number';
import { useKeys } from '../widgets/hooks';
import { HelpIcon, LumitraceLogo, MoonIcon, SunIcon, SystemIcon } from '../widgets/icons';
import { KeyboardHelp } from './KeyboardHelp';
import { nextTheme, setTheme, useTheme } from './theme';
import './shell.css';

export function Shell() {
  const [helpOpen, setHelpOpen] = useState(false);
  useKeys({ '?': () => setHelpOpen(true) });
  return (
    <div className="shell">
      <header className="shell-header">
        <Link to="/" className="brand" aria-label="Lumitrace, start page">
          <LumitraceLogo />
          Lumitrace
        </Link>
        <nav aria-label="Pages">
          <Link to="/" className="nav-link" activeOptions={{ exact: true, includeSearch: false }}>
            Traces
          </Link>{' '}
          <Link to="/logs" className="nav-link" activeOptions={{ includeSearch: false }}>
            Logs
          </Link>{' '}
          <Link to="/series" className="nav-link" activeOptions={{ includeSearch: false }}>
            Metrics
          </Link>{' '}
          <Link to="/runs" className="nav-link">
            Runs
          </Link>
        </nav>
        <span className="shell-space" />
        <ServerState />
        <ThemeButton />
        <button
          type="button"
          className="button icon quiet"
          aria-label="Keyboard help"
          title="Keyboard help (?)"
          onClick={() => setHelpOpen(true)}
        >
          <HelpIcon />
        </button>
      </header>
      <main className="shell-main">
        <Outlet />
      </main>
      <KeyboardHelp open={helpOpen} onClose={() => setHelpOpen(false)} />
    </div>
  );
}

const THEME_TEXT = { system: 'as the system', light: 'light', dark: 'dark' };
const THEME_ICON = { system: SystemIcon, light: SunIcon, dark: MoonIcon };

function ThemeButton() {
  const theme = useTheme();
  const ThemeIcon = THEME_ICON[theme];
  const label = `Theme: ${THEME_TEXT[theme]}. Change to ${THEME_TEXT[nextTheme(theme)]}`;
  return (
    <button
      type="button"
      className="button icon quiet"
      aria-label={label}
      title={label}
      onClick={() => setTheme(nextTheme(theme))}
    >
      <ThemeIcon />
    </button>
  );
}

function ServerState() {
  const { data, error } = useQuery(serverStatus);
  const [color, text] =
    error !== null
      ? ['var(--error)', 'Server unreachable']
      : data === undefined
        ? ['var(--text-faint)', 'Connecting']
        : data.healthy
          ? ['var(--success)', `${formatCount(data.spans)} spans`]
          : ['var(--error)', 'Server has a problem'];
  return (
    <DialogTrigger>
      <Button className="button quiet server-state number">
        <span className="color-dot" style={{ background: color }} />
        {text}
      </Button>
      <Popover className="popover" placement="bottom end">
        <Dialog className="server-panel" aria-label="Server">
          <h2>Server</h2>
          {error !== null && <p className="error-text">{error.message}</p>}
          {data?.problem && <p className="error-text">{data.problem}</p>}
          {data && (
            <dl className="fact-list number">
              <dt>Version</dt>
              <dd>{data.version}</dd>
              <dt>Stored</dt>
              <dd>
                {formatCount(data.spans)} spans, {formatCount(data.log_records)} log records,{' '}
                {formatCount(data.metric_points)} metric points in {formatCount(data.blocks)}{' '}
                blocks, {formatBytes(data.disk_bytes)}
              </dd>
              <dt>Received</dt>
              <dd>
                {formatCount(data.otlp.spans)} spans, {formatCount(data.otlp.log_records)} log
                records, {formatCount(data.otlp.metric_points)} metric points in{' '}
                {formatCount(data.otlp.requests)} requests
              </dd>
              <dt>Refused</dt>
              <dd>
                {formatCount(data.otlp.rejected_spans)} spans,{' '}
                {formatCount(data.otlp.rejected_metric_points)} metric points,{' '}
                {formatCount(data.otlp.refused_requests)} requests
              </dd>
              <dt>OTLP/HTTP</dt>
              <dd className="code">{data.endpoints.otlp_http}</dd>
              <dt>OTLP/gRPC</dt>
              <dd className="code">{data.endpoints.otlp_grpc}</dd>
              <dt>Data folder</dt>
              <dd className="code">{data.data_dir}</dd>
            </dl>
          )}
        </Dialog>
      </Popover>
    </DialogTrigger>
  );
}
