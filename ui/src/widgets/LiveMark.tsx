/** How a page's live stream is doing. */
import type { Live } from '../api/live';

export function LiveMark({ live }: { live: Live }) {
  switch (live.state) {
    case 'open':
      return (
        <span className="badge running" title="What is new appears as it arrives">
          <span className="dot" />
          live
        </span>
      );
    case 'connecting':
      return <span className="badge">connecting</span>;
    case 'lost':
      return (
        <span className="badge interrupted" title="The stream broke; trying again">
          <span className="dot" />
          stream lost
        </span>
      );
    case 'refused':
      return (
        <span className="badge error" role="alert" title={live.error?.message}>
          no live stream: {live.error?.message}
        </span>
      );
    case 'off':
      return null;
  }
}
