/** How much of a run is done. */
export function ProgressBar({ share }: { share: number }) {
  return (
    <span
      className="progress"
      role="progressbar"
      aria-label="Epochs"
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(share * 100)}
    >
      <span style={{ width: `${share * 100}%` }} />
    </span>
  );
}
