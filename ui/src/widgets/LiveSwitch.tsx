/** Whether what is new appears by itself. */
import { Switch } from 'react-aria-components';

export function LiveSwitch({
  live,
  onChange,
}: {
  live: boolean;
  onChange: (live: boolean) => void;
}) {
  return (
    <Switch className="switch live-switch" isSelected={live} onChange={onChange}>
      <span className="track" />
      Live
    </Switch>
  );
}
