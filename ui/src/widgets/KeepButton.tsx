/** A button that copies a trace, or a run, to the archive, where retention does not reach it. */
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import type { Kept } from '../api/contract';
import { archived } from '../api/queries';
import { CheckIcon } from './icons';

interface KeepButtonProps {
  /** The trace that tells whether it is kept. */
  traceId: string;
  /** What is kept, in a word. */
  what: 'trace' | 'run';
  /** Whether more of it may come, which is kept only when asked again. */
  goesOn: boolean;
  keep: () => Promise<Kept>;
}

export function KeepButton({ traceId, what, goesOn, keep }: KeepButtonProps) {
  const client = useQueryClient();
  const query = archived(traceId);
  const { data: isKept = false } = useQuery(query);
  const { mutate, isPending, error, data } = useMutation({
    mutationFn: keep,
    onSuccess: (kept) => client.setQueryData(query.queryKey, kept.archived),
  });
  const isCut = data?.archived === false;
  const hint = goesOn
    ? `Keeps what there is of this ${what} for ever. What comes later needs another click.`
    : `Keeps this ${what} for ever, whatever the retention.`;
  return (
    <>
      {error !== null && (
        <span className="error-text" role="alert">
          {error.message}
        </span>
      )}
      {isCut && (
        <span className="error-text" role="alert" title={data.damaged?.join('\n')}>
          Kept without what is damaged
        </span>
      )}
      <button
        type="button"
        className="button small"
        title={isKept && !goesOn ? `This ${what} is kept for ever.` : hint}
        disabled={isPending || (isKept && !goesOn)}
        onClick={() => mutate()}
      >
        {isKept && <CheckIcon />}
        {isKept ? 'Kept' : 'Keep'}
      </button>
    </>
  );
}
