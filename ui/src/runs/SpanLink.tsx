/** From a row of a run to its span in the waterfall. */
import { Link } from '@tanstack/react-router';

interface LinkProps {
  traceId: string;
  spanId: string;
  children: React.ReactNode;
}

export function SpanLink({ traceId, spanId, children }: LinkProps) {
  return (
    <Link to="/trace/$traceId" params={{ traceId }} search={{ span: spanId }}>
      {children}
    </Link>
  );
}
